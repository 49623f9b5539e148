package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/bothy-env/bothy/internal/files"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
)

// certificates are those that programs in sandboxes trust: a file's, as it was when it was right last. Without a file there are none.
type certificates struct{ file *files.Fresh[[]byte] }

// openCertificates refuses a file that is wrong: without its certificates programs in sandboxes fail, and say something else.
func openCertificates(path string, logger *slog.Logger) (certificates, error) {
	if path == "" {
		return certificates{}, nil
	}
	c := certificates{files.OpenCertificates(path)}
	data, err := c.file.Get()
	if err != nil {
		return c, fleet.Errorf(fleet.CodeInvalid, "read sandbox.ca_file: %w", err).WithHint("correct %s, or leave sandbox.ca_file out", path)
	}
	logger.Info("programs in sandboxes trust certificates of the configuration", "file", path, "bytes", len(data))
	return c, nil
}

func (c certificates) get() []byte {
	if c.file == nil {
		return nil
	}
	data, _ := c.file.Get() // what is wrong by now, check tells
	return data
}

// check tells when the file is not what it was any more, so that the last good one holds.
func (c certificates) check(context.Context) service.Check {
	if c.file == nil {
		return service.Check{Name: "certificates", Status: service.OK, Message: "programs in sandboxes trust what their images trust"}
	}
	if _, err := c.file.Get(); err != nil {
		return service.Check{
			Name: "certificates", Status: service.Warning, Message: fmt.Sprintf("sandbox.ca_file: %v; the last good one holds", err),
			Hint: "mend " + c.file.Path() + "; it is read again by itself",
		}
	}
	return service.Check{Name: "certificates", Status: service.OK, Message: "programs in sandboxes trust the certificates of " + c.file.Path()}
}
