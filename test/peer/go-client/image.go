package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images/converter"
	"github.com/containerd/containerd/v2/plugins/content/local"
	nydus "github.com/containerd/nydus-snapshotter/pkg/converter"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is what became of an image, and what that became on the way back.
type Image struct {
	Converted   Manifest
	Reconverted Manifest
}

// Manifest has the layers of an image and what its config says of them.
type Manifest struct {
	Layers  []ocispec.Descriptor
	DiffIDs []digest.Digest
}

// image converts an image of the tars in Layers as containerd does, and back. Its content store is
// WorkDir/store.
func image(ctx context.Context, request Request) (Answer, error) {
	root := filepath.Join(request.WorkDir, "store")
	store, err := local.NewLabeledStore(root, &memoryLabels{of: map[digest.Digest]map[string]string{}})
	if err != nil {
		return Answer{}, err
	}
	original, err := writeImage(ctx, store, request.Layers)
	if err != nil {
		return Answer{}, err
	}

	convert := converter.IndexConvertFuncWithHook(
		nydus.LayerConvertFunc(request.packOption()), true, platforms.All,
		converter.ConvertHooks{PostConvertHook: nydus.ConvertHookFunc(request.mergeOption())},
	)
	there, err := convert(ctx, store, *original)
	if err != nil {
		return Answer{}, err
	}
	result := Image{}
	if result.Converted, err = readManifest(ctx, store, *there); err != nil {
		return Answer{}, err
	}
	if request.OCIRef {
		return Answer{Image: &result}, nil // there is no way back: the layers are still the original ones
	}

	reconvert := nydus.DefaultIndexConvertFunc(
		nydus.LayerReconvertFunc(request.unpackOption()), true, platforms.All,
	)
	back, err := reconvert(ctx, store, *there)
	if err != nil {
		return Answer{}, err
	}
	result.Reconverted, err = readManifest(ctx, store, *back)
	return Answer{Image: &result}, err
}

func writeImage(ctx context.Context, store content.Store, layers []LayerFile) (*ocispec.Descriptor, error) {
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	config.RootFS.Type = "layers"
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
	}
	for _, layer := range layers {
		data, err := os.ReadFile(layer.Path)
		if err != nil {
			return nil, err
		}
		mediaType := ocispec.MediaTypeImageLayer
		diffID := digest.FromBytes(data)
		if layer.Original != "" { // compressed; this is what it was
			mediaType = ocispec.MediaTypeImageLayerGzip
			diffID = digest.Digest(layer.Original)
		}
		desc, err := writeBlob(ctx, store, mediaType, data)
		if err != nil {
			return nil, err
		}
		manifest.Layers = append(manifest.Layers, *desc)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
	}
	desc, err := writeJSON(ctx, store, ocispec.MediaTypeImageConfig, config)
	if err != nil {
		return nil, err
	}
	manifest.Config = *desc
	return writeJSON(ctx, store, ocispec.MediaTypeImageManifest, manifest)
}

func writeJSON(ctx context.Context, store content.Store, mediaType string, value any) (*ocispec.Descriptor, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return writeBlob(ctx, store, mediaType, data)
}

func writeBlob(ctx context.Context, store content.Store, mediaType string, data []byte) (*ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	err := content.WriteBlob(ctx, store, "write-"+desc.Digest.String(), bytes.NewReader(data), desc)
	return &desc, err
}

func readManifest(ctx context.Context, store content.Store, desc ocispec.Descriptor) (Manifest, error) {
	var manifest ocispec.Manifest
	var config ocispec.Image
	if err := readJSON(ctx, store, desc, &manifest); err != nil {
		return Manifest{}, err
	}
	if err := readJSON(ctx, store, manifest.Config, &config); err != nil {
		return Manifest{}, err
	}
	return Manifest{Layers: manifest.Layers, DiffIDs: config.RootFS.DiffIDs}, nil
}

func readJSON(ctx context.Context, store content.Store, desc ocispec.Descriptor, value any) error {
	data, err := content.ReadBlob(ctx, store, desc)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, value)
}

// memoryLabels keeps the labels that the converter puts on content.
type memoryLabels struct {
	mutex sync.Mutex
	of    map[digest.Digest]map[string]string
}

func (labels *memoryLabels) Get(digest digest.Digest) (map[string]string, error) {
	labels.mutex.Lock()
	defer labels.mutex.Unlock()
	copied := map[string]string{}
	for key, value := range labels.of[digest] {
		copied[key] = value
	}
	return copied, nil
}

func (labels *memoryLabels) Set(digest digest.Digest, values map[string]string) error {
	_, err := labels.change(digest, values, true)
	return err
}

func (labels *memoryLabels) Update(digest digest.Digest, values map[string]string) (map[string]string, error) {
	return labels.change(digest, values, false)
}

func (labels *memoryLabels) change(
	digest digest.Digest, values map[string]string, anew bool,
) (map[string]string, error) {
	labels.mutex.Lock()
	defer labels.mutex.Unlock()
	changed := map[string]string{}
	if !anew {
		for key, value := range labels.of[digest] {
			changed[key] = value
		}
	}
	for key, value := range values {
		if value == "" {
			delete(changed, key)
		} else {
			changed[key] = value
		}
	}
	labels.of[digest] = changed
	return changed, nil
}
