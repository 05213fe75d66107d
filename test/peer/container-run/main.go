// Runs a command in a container whose image is pulled lazily, as Kubernetes and nerdctl do it: the nydus
// snapshotter is told which image each layer belongs to, takes only the bootstrap, and has nydusd mount it.
//
// usage: CONTAINERD=SOCKET container-run REFERENCE COMMAND [ARGUMENT]...
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/containerd/v2/pkg/snapshotters"
)

const snapshotter = "nydus"

func main() {
	status, err := run(os.Getenv("CONTAINERD"), os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		status = 125 // what other tools answer if there is no container
	}
	os.Exit(status)
}

func run(socket, reference string, command []string) (int, error) {
	ctx := namespaces.WithNamespace(context.Background(), "container-run")
	client, err := containerd.New(socket)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	image, err := pull(ctx, client, reference)
	if err != nil {
		return 0, err
	}
	id := fmt.Sprintf("container-%d", time.Now().UnixNano())
	container, err := client.NewContainer(ctx, id,
		containerd.WithSnapshotter(snapshotter),
		containerd.WithNewSnapshot(id, image),
		// neither a network nor a cgroup of its own: nothing has to be set up on the host
		containerd.WithNewSpec(oci.WithImageConfig(image), oci.WithProcessArgs(command...),
			oci.WithHostNamespace("network"), oci.WithCgroup("")))
	if err != nil {
		return 0, err
	}
	defer container.Delete(ctx, containerd.WithSnapshotCleanup)
	task, err := container.NewTask(ctx, cio.NewCreator(cio.WithStreams(nil, os.Stdout, os.Stderr)))
	if err != nil {
		return 0, err
	}
	defer task.Delete(ctx)
	ended, err := task.Wait(ctx)
	if err != nil {
		return 0, err
	}
	if err := task.Start(ctx); err != nil {
		return 0, err
	}
	status := <-ended
	return int(status.ExitCode()), status.Error()
}

func pull(ctx context.Context, client *containerd.Client, reference string) (containerd.Image, error) {
	hosts := docker.ConfigureDefaultRegistries(docker.WithPlainHTTP(docker.MatchLocalhost))
	return client.Pull(ctx, reference,
		containerd.WithResolver(docker.NewResolver(docker.ResolverOptions{Hosts: hosts})),
		containerd.WithPullUnpack,
		containerd.WithPullSnapshotter(snapshotter),
		containerd.WithImageHandlerWrapper(snapshotters.AppendInfoHandlerWrapper(reference)))
}
