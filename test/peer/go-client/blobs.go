package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/nydus-snapshotter/pkg/converter"
	"github.com/containerd/nydus-snapshotter/pkg/converter/tool"
	"github.com/opencontainers/go-digest"
)

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
	if _, err := io.Copy(writer, source); err != nil {
		// The builder has failed, and the library is closing the writer. To close it here too is a race that
		// may end with each waiting for the other.
		return Answer{}, err
	}
	// only this tells that all went well
	if err := writer.Close(); err != nil {
		return Answer{}, err
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
