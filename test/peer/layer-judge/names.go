package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// What the file system says of one name. Names, targets and values are bytes.
type name struct {
	Path   []byte `json:"path"`
	Type   string `json:"type"`
	Mode   uint32 `json:"mode"`
	UID    uint32 `json:"uid"`
	GID    uint32 `json:"gid"`
	Mtime  int64  `json:"mtime"`
	Nsec   int64  `json:"nsec"`
	Target []byte `json:"target,omitempty"`
	Major  uint32 `json:"major,omitempty"`
	Minor  uint32 `json:"minor,omitempty"`
	// the first name of the same inode; its own path if it is the only one
	Inode  []byte            `json:"inode"`
	Size   int64             `json:"size"`
	Digest string            `json:"digest,omitempty"`
	Xattrs map[string]string `json:"xattrs,omitempty"` // hex of both
}

var types = map[uint32]string{
	unix.S_IFREG:  "file",
	unix.S_IFDIR:  "directory",
	unix.S_IFLNK:  "symlink",
	unix.S_IFCHR:  "char",
	unix.S_IFBLK:  "block",
	unix.S_IFIFO:  "fifo",
	unix.S_IFSOCK: "socket",
}

func namesBelow(root string) ([]name, error) {
	var paths []string
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path != root {
			paths = append(paths, strings.TrimPrefix(path, root+"/"))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	sort.Strings(paths)
	first := map[uint64][]byte{}
	names := []name{}
	for _, path := range paths {
		at := filepath.Join(root, path)
		var stat unix.Stat_t
		if err := unix.Lstat(at, &stat); err != nil {
			return nil, err
		}
		found := name{
			Path:  []byte(path),
			Type:  types[stat.Mode&unix.S_IFMT],
			Mode:  stat.Mode & 0o7777,
			UID:   stat.Uid,
			GID:   stat.Gid,
			Mtime: stat.Mtim.Sec,
			Nsec:  stat.Mtim.Nsec,
		}
		if _, known := first[stat.Ino]; !known {
			first[stat.Ino] = found.Path
		}
		found.Inode = first[stat.Ino]
		if found.Xattrs, err = xattrsOf(at); err != nil {
			return nil, err
		}
		switch found.Type {
		case "file":
			content, err := os.ReadFile(at)
			if err != nil {
				return nil, err
			}
			sum := sha256.Sum256(content)
			found.Size = stat.Size
			found.Digest = hex.EncodeToString(sum[:])
		case "symlink":
			target, err := os.Readlink(at)
			if err != nil {
				return nil, err
			}
			found.Target = []byte(target)
		case "char", "block":
			found.Major = unix.Major(uint64(stat.Rdev))
			found.Minor = unix.Minor(uint64(stat.Rdev))
		}
		names = append(names, found)
	}
	return names, nil
}

func xattrsOf(path string) (map[string]string, error) {
	list := make([]byte, 0x10000)
	size, err := unix.Llistxattr(path, list)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	value := make([]byte, 0x10000)
	for _, key := range bytes.Split(list[:size], []byte{0}) {
		if len(key) == 0 {
			continue
		}
		size, err := unix.Lgetxattr(path, string(key), value)
		if err != nil {
			return nil, err
		}
		found[hex.EncodeToString(key)] = hex.EncodeToString(value[:size])
	}
	return found, nil
}
