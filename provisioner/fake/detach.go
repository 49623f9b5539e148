package fake

import (
	"encoding/json"
	"io"

	"github.com/bothy-env/bothy/provisioner"
)

// detached answers as a sandbox does that has begun a command which runs on by itself. Nothing runs.
func detached(out io.Writer) error {
	if out == nil {
		return nil
	}
	return json.NewEncoder(out).Encode(provisioner.Detached{Process: 2, Output: provisioner.DetachedOutput + "fake.log"})
}
