package cmdutil

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
)

// Print writes a command's result: value as indented JSON for machines, text's work for people.
func (f *Factory) Print(value any, text func(w io.Writer) error) error {
	if !f.JSON() {
		var b strings.Builder
		if err := text(&b); err != nil {
			return err
		}
		return f.Outf("%s", b.String())
	}
	enc := json.NewEncoder(f.IO.Out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// Outf writes to the output stream.
func (f *Factory) Outf(format string, args ...any) error {
	if _, err := fmt.Fprintf(f.IO.Out, format, args...); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// Problem is how an error looks in JSON on the error stream.
type Problem struct {
	Error wire.Problem `json:"error"`
}

// ShowError tells an error on the error stream: the sentence, wrong places, and the next thing to do.
func (f *Factory) ShowError(err error) {
	p := ProblemOf(err)
	if f.JSON() {
		data, err := json.Marshal(Problem{p})
		if err != nil {
			data = fmt.Appendf(nil, `{"error":{"title":"Failed","status":0,"code":"internal","detail":%q}}`, p.Detail)
		}
		f.Errf("%s\n", data)
		return
	}
	f.Errf("%s %s\n", f.IO.PaintErr(iostreams.Red, "bothy:"), cleanLines(p.Detail))
	for _, place := range p.Errors {
		f.Errf("  %s: %s\n", format.Clean(place.Location), format.Clean(place.Message))
	}
	if p.Hint != "" {
		f.Errf("%s %s\n", f.IO.PaintErr(iostreams.Cyan, "next:"), cleanLines(p.Hint))
	}
}

// cleanLines cleans a text of several lines; those after the first are indented.
func cleanLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i, l := range lines {
		lines[i] = format.Clean(l)
	}
	return strings.Join(lines, "\n  ")
}
