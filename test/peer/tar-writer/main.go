// Writes the current directory to stdout as a tar, as Go's archive/tar does: tar-writer ustar|pax|gnu.
package main

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

var formats = map[string]tar.Format{"ustar": tar.FormatUSTAR, "pax": tar.FormatPAX, "gnu": tar.FormatGNU}

func main() {
	if len(os.Args) != 2 || formats[os.Args[1]] == 0 {
		fmt.Fprintln(os.Stderr, "usage: tar-writer ustar|pax|gnu")
		os.Exit(2)
	}
	if err := write(tar.NewWriter(os.Stdout), formats[os.Args[1]]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(w *tar.Writer, format tar.Format) error {
	first := map[uint64]string{} // names by inode
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		target := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if target, err = os.Readlink(path); err != nil {
				return err
			}
		}
		header, err := tar.FileInfoHeader(info, target)
		if err != nil {
			return err
		}
		header.Name = path
		if info.IsDir() {
			header.Name += "/"
		}
		header.Format = format
		header.Uname, header.Gname = "", ""
		if stat := info.Sys().(*syscall.Stat_t); info.Mode().IsRegular() && stat.Nlink > 1 {
			if name, known := first[stat.Ino]; known {
				header.Typeflag, header.Linkname, header.Size = tar.TypeLink, name, 0
			}
			first[stat.Ino] = path
		}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			return nil
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(w, file)
		return err
	})
	if err != nil {
		return err
	}
	return w.Close()
}
