package terraform

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform/confine"
)

// pattern tells a failure's class from what Terraform or the provider says,
// which is all there is to tell it from.
type pattern struct {
	says        *regexp.Regexp
	class       provisioner.Class
	unavailable bool
}

func says(class provisioner.Class, unavailable bool, texts ...string) pattern {
	return pattern{regexp.MustCompile(`(?i)` + strings.Join(texts, "|")), class, unavailable}
}

// pluginFault is a provider process that crashed or could not be talked to.
// It comes before the engine being away: both speak of lost connections.
var pluginFault = says(provisioner.Transient, false,
	`plugin did not respond`, `plugin process exited`, `plugin crashed`, `plugin encountered an error`,
	`failed to instantiate provider`, `could not load plugin`, `failed to load plugin schemas`,
	`failed to obtain provider schema`, `unrecognized remote plugin message`, `reattachment process not found`, `\bpanic: `,
	// The context shows our own cancels before any text is read.
	`\(\*grpcprovider\)\.\w+ request was cancelled`)

// applyPatterns in order; what none knows is Permanent.
var applyPatterns = []pattern{
	says(provisioner.Quota, false,
		`no space left on device`, `disk quota exceeded`, `address pools? ha(s|ve) been fully subnetted`,
		`non-overlapping ipv4 address pool`, `no available ipv4 addresses`, `cannot allocate memory`),
	says(provisioner.Conflict, false,
		`conflict\. the container name`, `\bname\b.{0,120}\bis already in use`, `(container|network|volume)\b.{0,120}\balready exists`),
	pluginFault,
	// A registry that does not answer is not the engine: the image should have been here.
	says(provisioner.Permanent, false, `unable to pull image`, `error pulling image`, `no such image`),
	says(provisioner.Transient, true,
		`cannot connect to the docker daemon`, `error pinging docker server`, `error during connect`,
		`connection refused`, `connection reset by peer`, `broken pipe`, `i/o timeout`, `tls handshake timeout`,
		`context deadline exceeded`, `dial unix .*no such file or directory`, `dial unix .*permission denied`, `\beof\b`),
}

// initPatterns are those of init, which talks to registries.
var initPatterns = append([]pattern{
	says(provisioner.Transient, true,
		`could not connect to `, `failed to request discovery document`, `no such host`, `i/o timeout`,
		`client\.timeout exceeded`, `connection refused`, `tls handshake timeout`, `\b50[234] `),
}, applyPatterns...)

// failure makes the error of a failed command: its class, and one sentence that names the cause.
func (d *Driver) failure(ctx context.Context, op string, out *output, err error, patterns []pattern) *provisioner.Error {
	e := &provisioner.Error{Class: provisioner.Permanent, Op: op, Err: err}
	var exit *confine.ExitError
	var bound *confine.BoundError
	var start *confine.StartError
	switch {
	case ctx.Err() != nil:
		e.Class, e.Sentence, e.Err = provisioner.Cancelled, "cancelled; Terraform was stopped", context.Cause(ctx)
		return e
	case errors.As(err, &bound):
		// It would be the same another time: the blueprint asks for that much.
		e.Sentence = "Terraform " + bound.Error() + " and was ended"
		return e
	case errors.Is(err, errTimeout):
		e.Class, e.Sentence = provisioner.Transient, fmt.Sprintf("Terraform did not finish within %s and was stopped", d.cfg.Timeout)
		return e
	case errors.As(err, &start) || errors.As(err, &exit) && (exit.Code == 126 || exit.Code == 127) && len(out.errors) == 0:
		e.Class, e.Unavailable = provisioner.Transient, true
		e.Sentence = "Terraform cannot be run: " + out.sentence(err)
		return e
	case errors.As(err, &exit) && exit.Signal != 0 && len(out.errors) == 0:
		// Ended by a signal that was not ours: the machine's, when memory runs out.
		e.Class, e.Sentence = provisioner.Transient, "Terraform was ended from outside ("+exit.Error()+")"
		return e
	}
	e.Sentence = out.sentence(err)
	for _, p := range patterns {
		if p.says.MatchString(e.Sentence) {
			e.Class, e.Unavailable = p.class, p.unavailable
			break
		}
	}
	return e
}

func (o *output) pluginFault() bool { return pluginFault.says.MatchString(o.sentence(nil)) }

// sentence names the cause: the first diagnostic, else what a failing program
// last said, else err.
func (o *output) sentence(err error) string {
	stderr, noise := o.stderr.lines(), o.noise.lines()
	found, all := o.errors, o.failed
	if len(found) == 0 {
		found = plainDiagnostics(stderr)
		all = len(found)
	}
	if len(found) > 0 {
		s := found[0].sentence()
		if more := all - 1; more > 0 {
			s += fmt.Sprintf(" (and %d more)", more)
		}
		return s
	}
	for _, said := range [][]string{stderr, noise} {
		for _, line := range said {
			if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
				return "Terraform crashed: " + line
			}
		}
	}
	for _, said := range [][]string{stderr, noise} {
		if len(said) > 0 {
			return oneLine(strings.Join(said[max(0, len(said)-3):], " "), 600)
		}
	}
	if err == nil {
		return ""
	}
	return oneLine(err.Error(), 600)
}

// plainDiagnostics reads diagnostics as Terraform prints them for people: what
// fails before it speaks JSON.
func plainDiagnostics(said []string) []diagnostic {
	var found []diagnostic
	var current *diagnostic
	for _, line := range said {
		line = strings.TrimSpace(strings.Trim(line, "╷│╵ "))
		switch {
		case strings.HasPrefix(line, "Error: "):
			found = append(found, diagnostic{Severity: "error", Summary: strings.TrimPrefix(line, "Error: ")})
			current = &found[len(found)-1]
		case strings.HasPrefix(line, "Warning: "):
			current = nil
		case current != nil && line != "":
			current.Detail += line + " "
		}
	}
	return found
}
