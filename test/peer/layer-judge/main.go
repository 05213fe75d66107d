// Unpacks layers as containerd does, one over the other, and says what is there then.
//
// Each line of stdin is a question: {"layers": [tar, ...]}, base64. Each line of stdout is its
// answer: {"error": "..."} or {"names": [...]}, in the order of their paths. Unpacks in a directory
// below $TMPDIR, which is removed after each question.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/log"
)

type question struct {
	Layers [][]byte `json:"layers"`
}

type answer struct {
	Error string `json:"error,omitempty"`
	Layer int    `json:"layer,omitempty"`
	Names []name `json:"names"`
}

func main() {
	log.L.Logger.SetOutput(io.Discard)
	questions := json.NewDecoder(bufio.NewReader(os.Stdin))
	answers := bufio.NewWriter(os.Stdout)
	for {
		var asked question
		if err := questions.Decode(&asked); err == io.EOF {
			return
		} else if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		given := unpacked(asked)
		if err := json.NewEncoder(answers).Encode(given); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		answers.Flush()
	}
}

func unpacked(asked question) answer {
	root, err := os.MkdirTemp("", "layers-")
	if err != nil {
		return answer{Error: err.Error()}
	}
	defer os.RemoveAll(root)
	for n, layer := range asked.Layers {
		if _, err := archive.Apply(context.Background(), root, bytes.NewReader(layer)); err != nil {
			return answer{Error: err.Error(), Layer: n}
		}
	}
	names, err := namesBelow(root)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Names: names}
}
