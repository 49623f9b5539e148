package cp

import (
	"errors"
	"io"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/tarstream"
)

// TestRefusedCopyWhoseCommandGoesOn: why a tar stream was refused is told also when the command that unpacked it could not be
// ended. It was once told as cancelled, on an engine under load.
func TestRefusedCopyWhoseCommandGoesOn(t *testing.T) {
	why := provisioner.Errorf(provisioner.Permanent, tarstream.Op, "evil leads out")
	input := asRefusal(why)
	broken := &provisioner.Error{Class: provisioner.Cancelled, Op: engine.OpExec, Sentence: "the input broke off: " + input.Error(), Err: input}
	goesOn := &provisioner.Error{
		Class: provisioner.Cancelled, Op: engine.OpExec, Err: errors.Join(broken, provisioner.Errorf(provisioner.Transient, engine.OpExec, "it goes on")),
	}
	for name, err := range map[string]error{"ended": broken, "goes on": goesOn} {
		if got, ok := errors.AsType[refusal](err); !ok || !errors.Is(got.why, why) {
			t.Errorf("%s: found %v, want %v", name, got.why, why)
		}
	}
	if _, ok := errors.AsType[refusal](asRefusal(io.ErrUnexpectedEOF)); ok {
		t.Error("a stream that broke off counts as refused")
	}
}
