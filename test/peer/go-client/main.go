// The library by which containerd converts images, driven by JSON: one request on stdin, one answer on
// stdout. One operation a process, since the library looks once per process at what a builder can do.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/nydus-snapshotter/pkg/converter"
	"github.com/containerd/nydus-snapshotter/pkg/converter/tool"
	"github.com/opencontainers/go-digest"
)

// Request says what to do; which fields count depends on Op.
type Request struct {
	Op      string
	Builder string // empty: the one that the library finds in PATH
	WorkDir string
	// Timeout is in milliseconds; 0 is none.
	Timeout int

	Source string // a file
	Target string // a file
	// TargetDir gets a file that is named by its digest.
	TargetDir string

	FsVersion        string
	Compressor       string
	ChunkSize        string
	BatchSize        string
	ChunkDict        string
	ParentBootstrap  string
	PrefetchPatterns string
	OCIRef           bool
	AlignedChunk     bool
	Encrypt          bool
	WithTar          bool
	Stream           bool

	// Layers of a merge, lowest first.
	Layers []LayerFile
	// Name of a layer to make, and whether it is compressed.
	Layer string
	Gzip  bool
}

// LayerFile is a blob in a file, and for a layer that was only referred to, its own digest.
type LayerFile struct {
	Path     string
	Original string
}

// Section is what the library finds by a name in a blob.
type Section struct {
	Found  bool
	Size   int64
	Digest string
	TOC    *TOC
}

// TOC is a section's entry in the blob's table of contents.
type TOC struct {
	Digest           string
	CompressedOffset uint64
	CompressedSize   uint64
	UncompressedSize uint64
	Flags            uint32
}

// Member is one of a tar, as Go reads it.
type Member struct {
	Name     string
	Type     string
	Mode     int64
	Size     int64
	Linkname string            `json:",omitempty"`
	Device   string            `json:",omitempty"`
	Records  map[string]string `json:",omitempty"`
	Digest   string            `json:",omitempty"`
}

// Answer has the fields that the operation fills.
type Answer struct {
	Error    string             `json:",omitempty"`
	Path     string             `json:",omitempty"`
	Digest   string             `json:",omitempty"`
	Digests  []string           `json:",omitempty"`
	Features []string           `json:",omitempty"`
	Sections map[string]Section `json:",omitempty"`
	Members  []Member           `json:",omitempty"`
	Image    *Image             `json:",omitempty"`
}

var operations = map[string]func(context.Context, Request) (Answer, error){
	"features": features,
	"layer":    layer,
	"pack":     pack,
	"sections": sections,
	"merge":    merge,
	"unpack":   unpack,
	"list":     list,
	"image":    image,
}

func main() {
	var request Request
	answer := Answer{}
	err := json.NewDecoder(os.Stdin).Decode(&request)
	if err == nil {
		if operation, known := operations[request.Op]; known {
			answer, err = operation(context.Background(), request)
		} else {
			err = fmt.Errorf("no operation %q", request.Op)
		}
	}
	if err != nil {
		answer = Answer{Error: err.Error()}
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		panic(err)
	}
}

func (request Request) timeout() *time.Duration {
	if request.Timeout == 0 {
		return nil
	}
	timeout := time.Duration(request.Timeout) * time.Millisecond
	return &timeout
}

func (request Request) packOption() converter.PackOption {
	return converter.PackOption{
		WorkDir:          request.WorkDir,
		BuilderPath:      request.Builder,
		FsVersion:        request.FsVersion,
		ChunkDictPath:    request.ChunkDict,
		PrefetchPatterns: request.PrefetchPatterns,
		Compressor:       request.Compressor,
		OCIRef:           request.OCIRef,
		AlignedChunk:     request.AlignedChunk,
		ChunkSize:        request.ChunkSize,
		BatchSize:        request.BatchSize,
		Encrypt:          request.Encrypt,
		Timeout:          request.timeout(),
	}
}

func (request Request) mergeOption() converter.MergeOption {
	return converter.MergeOption{
		WorkDir:             request.WorkDir,
		BuilderPath:         request.Builder,
		FsVersion:           request.FsVersion,
		ChunkDictPath:       request.ChunkDict,
		ParentBootstrapPath: request.ParentBootstrap,
		PrefetchPatterns:    request.PrefetchPatterns,
		WithTar:             request.WithTar,
		OCI:                 true,
		OCIRef:              request.OCIRef,
		Timeout:             request.timeout(),
	}
}

func (request Request) unpackOption() converter.UnpackOption {
	return converter.UnpackOption{
		WorkDir:     request.WorkDir,
		BuilderPath: request.Builder,
		Stream:      request.Stream,
		Timeout:     request.timeout(),
		Compressor:  "uncompressed",
	}
}

// features are those that the library finds in the builder's help.
func features(_ context.Context, request Request) (Answer, error) {
	wanted := tool.NewFeatures(tool.FeatureTar2Rafs, tool.FeatureBatchSize, tool.FeatureEncrypt)
	found, err := tool.DetectFeatures(request.Builder, wanted, tool.GetHelp)
	answer := Answer{}
	for feature := range found {
		answer.Features = append(answer.Features, string(feature))
	}
	return answer, err
}

// pack makes a blob of a layer and names it by its digest.
func pack(ctx context.Context, request Request) (Answer, error) {
	source, err := os.Open(request.Source)
	if err != nil {
		return Answer{}, err
	}
	defer source.Close()
	made, err := os.CreateTemp(request.TargetDir, "pack-")
	if err != nil {
		return Answer{}, err
	}
	defer made.Close()
	digester := digest.Canonical.Digester()

	writer, err := converter.Pack(ctx, io.MultiWriter(made, digester.Hash()), request.packOption())
	if err != nil {
		return Answer{}, err
	}
	_, copyErr := io.Copy(writer, source)
	// only this tells that all went well
	if err := writer.Close(); err != nil {
		return Answer{}, err
	}
	if copyErr != nil {
		return Answer{}, copyErr
	}
	path := filepath.Join(request.TargetDir, digester.Digest().Hex())
	return Answer{Path: path, Digest: digester.Digest().String()}, os.Rename(made.Name(), path)
}

// sections reads every part of a blob in the ways that the library has.
func sections(_ context.Context, request Request) (Answer, error) {
	blob, err := local.OpenReader(request.Source)
	if err != nil {
		return Answer{}, err
	}
	defer blob.Close()
	found := map[string]Section{}
	for _, name := range []string{
		converter.EntryBlob, converter.EntryBootstrap, converter.EntryBlobMeta,
		converter.EntryBlobMetaHeader, "blob.digest", converter.EntryTOC,
	} {
		digester := digest.Canonical.Digester()
		counted := &counter{to: digester.Hash()}
		entry, err := converter.UnpackEntry(blob, name, counted)
		if err != nil {
			if !strings.Contains(err.Error(), "can't find target") {
				return Answer{}, fmt.Errorf("%s: %w", name, err)
			}
			found[name] = Section{}
			continue
		}
		section := Section{Found: true, Size: counted.size, Digest: digester.Digest().Hex()}
		if entry != nil {
			section.TOC = &TOC{
				Digest:           hex.EncodeToString(entry.UncompressedDigest[:]),
				CompressedOffset: entry.CompressedOffset,
				CompressedSize:   entry.CompressedSize,
				UncompressedSize: entry.UncompressedSize,
				Flags:            entry.Flags,
			}
		}
		found[name] = section
	}
	return Answer{Sections: found}, nil
}

type counter struct {
	to   io.Writer
	size int64
}

func (counter *counter) Write(bytes []byte) (int, error) {
	n, err := counter.to.Write(bytes)
	counter.size += int64(n)
	return n, err
}

// merge lays layers over each other; Target gets the bootstrap, or a tar of it.
func merge(ctx context.Context, request Request) (Answer, error) {
	layers := []converter.Layer{}
	for _, file := range request.Layers {
		blob, err := local.OpenReader(file.Path)
		if err != nil {
			return Answer{}, err
		}
		defer blob.Close()
		layer := converter.Layer{
			Digest:   digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(file.Path)),
			ReaderAt: blob,
		}
		if file.Original != "" {
			original, err := digest.Parse(file.Original)
			if err != nil {
				return Answer{}, err
			}
			layer.OriginalDigest = &original
		}
		layers = append(layers, layer)
	}
	target, err := os.Create(request.Target)
	if err != nil {
		return Answer{}, err
	}
	defer target.Close()
	digests, err := converter.Merge(ctx, layers, target, request.mergeOption())
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{Path: request.Target}
	for _, digest := range digests {
		if err := digest.Validate(); err != nil {
			return Answer{}, err
		}
		answer.Digests = append(answer.Digests, digest.String())
	}
	return answer, nil
}

// list reads the tar in Source. With a TargetDir, its files are put there by the last part of their names.
func list(_ context.Context, request Request) (Answer, error) {
	file, err := os.Open(request.Source)
	if err != nil {
		return Answer{}, err
	}
	defer file.Close()
	reader := tar.NewReader(file)
	answer := Answer{Members: []Member{}}
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return answer, nil
		}
		if err != nil {
			return Answer{}, err
		}
		member := Member{
			Name: header.Name, Type: string(header.Typeflag), Mode: header.Mode, Size: header.Size,
			Linkname: header.Linkname, Records: map[string]string{},
		}
		if header.Typeflag == tar.TypeChar || header.Typeflag == tar.TypeBlock {
			member.Device = fmt.Sprintf("%d:%d", header.Devmajor, header.Devminor)
		}
		for key, value := range header.PAXRecords {
			if strings.HasPrefix(key, "SCHILY.xattr.") {
				member.Records[key] = value
			}
		}
		if header.Typeflag == tar.TypeReg {
			content, err := io.ReadAll(reader)
			if err != nil {
				return Answer{}, err
			}
			member.Digest = digest.FromBytes(content).Hex()
			if request.TargetDir != "" {
				path := filepath.Join(request.TargetDir, filepath.Base(header.Name))
				if err := os.WriteFile(path, content, 0o644); err != nil {
					return Answer{}, err
				}
			}
		}
		answer.Members = append(answer.Members, member)
	}
}

// unpack makes a tar of a blob.
func unpack(ctx context.Context, request Request) (Answer, error) {
	var blob content.ReaderAt
	blob, err := local.OpenReader(request.Source)
	if err != nil {
		return Answer{}, err
	}
	defer blob.Close()
	target, err := os.Create(request.Target)
	if err != nil {
		return Answer{}, err
	}
	defer target.Close()
	return Answer{Path: request.Target}, converter.Unpack(ctx, blob, target, request.unpackOption())
}

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
