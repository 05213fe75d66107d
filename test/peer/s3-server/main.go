// A server of S3, which is not ours, on a port of this machine: the files of a directory are the
// objects of a bucket, and requests must be signed.
//
// usage: s3-server DIRECTORY BUCKET PREFIX KEY SECRET
package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(directory, bucket, prefix, key, secret string) error {
	backend := s3mem.New()
	ctx := context.Background()
	if err := backend.CreateBucket(ctx, bucket); err != nil {
		return err
	}
	files, err := os.ReadDir(directory)
	if err != nil {
		return err
	}
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(directory, file.Name()))
		if err != nil {
			return err
		}
		size := int64(len(content))
		meta := map[string]string{}
		if _, err := backend.PutObject(ctx, bucket, prefix+file.Name(), meta, bytes.NewReader(content), size); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	server := gofakes3.New(backend, gofakes3.WithV4Auth(map[string]string{key: secret}))
	return http.Serve(listener, server.Server())
}
