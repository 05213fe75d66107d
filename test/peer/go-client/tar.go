package main

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
)

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
