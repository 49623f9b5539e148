package api_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"testing"

	"github.com/bothy-env/bothy/internal/api"
	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/provisioner"
)

// BenchmarkExecStreams is what a byte of an exec costs, out of the daemon and into it, and what a whole one does.
func BenchmarkExecStreams(b *testing.B) {
	const size = 64 << 20
	d := newDouble().add(leased("otter"))
	d.exec = func(_ context.Context, req provisioner.ExecRequest, s provisioner.Streams) (int, error) {
		switch req.Command[0] {
		case "out":
			_, err := io.CopyN(s.Stdout, zeros{}, size)
			return 0, err
		case "in":
			_, err := io.Copy(io.Discard, s.Stdin)
			return 0, err
		}
		return 0, nil
	}
	dir, err := os.MkdirTemp("", "api")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			b.Error(err)
		}
	})
	server, err := api.New(api.Config{Socket: dir + "/s", Version: "test", Logger: slog.New(slog.DiscardHandler)}, d.services())
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Listen(); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			b.Error(err)
		}
	}()
	r, err := client.New(client.Options{Host: "unix://" + dir + "/s"})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for _, what := range []string{"out", "in", "nothing"} {
		b.Run(what, func(b *testing.B) {
			if what != "nothing" {
				b.SetBytes(size)
			}
			for b.Loop() {
				streams := client.ExecStreams{Stdout: io.Discard}
				if what == "in" {
					streams.Stdin = io.LimitReader(zeros{}, size)
				}
				if _, err := r.Exec(b.Context(), "otter", wire.ExecStart{Command: []string{what}, Stdin: what == "in"}, streams); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
