package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// entry is a member of a layer: a directory unless it has content or a target.
type entry struct {
	name    string
	typ     byte
	target  string
	content []byte
	mode    int64
	xattrs  map[string]string
}

// layers to convert. Directories have no slash at their end, times are 0 and members are sorted, as
// in the library's own tests: so an unpacked layer can be equal byte for byte.
func layerEntries(name string) ([]entry, error) {
	directory := func(name string) entry { return entry{name: name, typ: tar.TypeDir, mode: 0o755} }
	file := func(name string, content []byte) entry {
		return entry{name: name, typ: tar.TypeReg, content: content, mode: 0o644}
	}
	switch name {
	case "lower", "dict":
		entries := []entry{directory("dir-1")}
		for i := 1; i < 10; i++ {
			content := fmt.Appendf(nil, "lower-file-%d", i)
			entries = append(entries, file(fmt.Sprintf("dir-1/file-%d", i), content))
		}
		if name == "dict" {
			// with what the dictionary is to save, and something that nobody else has
			return append(entries,
				directory("dir-2"), file("dir-2/file-1", random(1, 0x280000)),
				directory("dir-3"), file("dir-3/only", random(2, 0x12345))), nil
		}
		return append(entries,
			directory("dir-2"), file("dir-2/file-1", []byte("lower-file-1"))), nil
	case "upper":
		return []entry{
			directory("dir-1"),
			file("dir-1/.wh.file-1", nil),
			directory("dir-2"),
			file("dir-2/.wh..wh..opq", nil),
			file("dir-2/file-1", random(1, 0x280000)),
			file("dir-2/file-2", []byte("upper-file-2")),
			file("dir-2/file-3", []byte("upper-file-3")),
		}, nil
	case "mixed":
		setuid := file("dir/b-setuid", words(0x5000))
		setuid.mode = 0o4755
		return []entry{
			directory("dir"),
			file("dir/a-empty", nil),
			setuid,
			file("dir/d-exact", random(3, 0x100000)),
			file("dir/e-more", random(4, 0x100001)),
			file("dir/f-zeros", make([]byte, 0x30000)),
			file("dir/g-words", words(0x234567)),
			{name: "dir/h-link", typ: tar.TypeSymlink, target: "../dir/g-words", mode: 0o777},
			{name: "dir/i-hard", typ: tar.TypeLink, target: "/dir/g-words", mode: 0o644},
			directory("empty"),
			{name: "null", typ: tar.TypeChar, mode: 0o666},
			file("small-0", words(0x800)), file("small-1", words(0x900)), file("small-2", words(0xa00)),
		}, nil
	case "odd":
		attributes := file("attributes", words(0x1001))
		attributes.xattrs = map[string]string{"user.comment": "hello", "user.lines": "a\nb"}
		return []entry{
			attributes,
			directory("dir"),
			file("dir/"+strings.Repeat("long-", 45), []byte("a long name")),
			file("dir/日本語", []byte("not of ASCII")),
			{name: "fifo", typ: tar.TypeFifo, mode: 0o600},
			{name: "link", typ: tar.TypeSymlink, target: strings.Repeat("far/", 50), mode: 0o777},
		}, nil
	case "directories":
		return []entry{directory("a"), directory("a/b"), directory("c")}, nil
	}
	return nil, fmt.Errorf("no layer %q", name)
}

func random(seed int64, size int) []byte {
	bytes := make([]byte, size)
	rand.New(rand.NewSource(seed)).Read(bytes)
	return bytes
}

func words(size int) []byte {
	text := bytes.Buffer{}
	for i := 0; text.Len() < size; i++ {
		fmt.Fprintf(&text, "line %d of some words\n", i)
	}
	return text.Bytes()[:size]
}

// layer writes one of the layers as a tar, and says its digest.
func layer(_ context.Context, request Request) (Answer, error) {
	entries, err := layerEntries(request.Layer)
	if err != nil {
		return Answer{}, err
	}
	owner, err := user.LookupId("0")
	if err != nil {
		return Answer{}, err
	}
	group, err := user.LookupGroupId("0")
	if err != nil {
		return Answer{}, err
	}
	digester := digest.Canonical.Digester()
	file, err := os.Create(request.Target)
	if err != nil {
		return Answer{}, err
	}
	defer file.Close()
	both := io.MultiWriter(file, digester.Hash())
	compressed := gzip.NewWriter(both)
	writer := tar.NewWriter(both)
	if request.Gzip {
		writer = tar.NewWriter(compressed)
	}
	for _, entry := range entries {
		header := &tar.Header{
			Name: entry.name, Typeflag: entry.typ, Linkname: entry.target,
			Mode: entry.mode, Size: int64(len(entry.content)),
			Uname: owner.Username, Gname: group.Name,
		}
		if entry.typ == tar.TypeChar {
			header.Devmajor, header.Devminor = 1, 3
		}
		for key, value := range entry.xattrs {
			if header.PAXRecords == nil {
				header.PAXRecords = map[string]string{}
			}
			header.PAXRecords["SCHILY.xattr."+key] = value
		}
		if err := writer.WriteHeader(header); err != nil {
			return Answer{}, fmt.Errorf("%s: %w", strconv.Quote(entry.name), err)
		}
		if _, err := writer.Write(entry.content); err != nil {
			return Answer{}, err
		}
	}
	if err := writer.Close(); err != nil {
		return Answer{}, err
	}
	if request.Gzip {
		if err := compressed.Close(); err != nil {
			return Answer{}, err
		}
	}
	return Answer{Path: request.Target, Digest: digester.Digest().String()}, nil
}
