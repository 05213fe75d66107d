// The library by which containerd converts images, driven by JSON: one request on stdin, one answer on
// stdout. One operation a process, since the library looks once per process at what a builder can do.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/containerd/nydus-snapshotter/pkg/converter"
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
