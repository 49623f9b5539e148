package cmdutil

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
)

// Print writes a command's result: value as indented JSON, or what text writes, by output format.
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

// Problem is the JSON form of an error on the error stream.
type Problem struct {
	Error wire.Problem `json:"error"`
}

// ShowError prints an error on the error stream: the sentence, the places in files, and the hint.
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
	for i, place := range p.Errors {
		if i == maxPlaces {
			f.Errf("  and %d more\n", len(p.Errors)-i)
			break
		}
		f.Errf("  %s: %s\n", fit(place.Location), fit(place.Message))
	}
	hint, next := p.Hint, []string(nil)
	if e, ok := errors.AsType[*Error](err); ok {
		hint, next = e.Hint, e.Next
	}
	if hint != "" {
		f.Errf("%s %s\n", f.IO.PaintErr(iostreams.Cyan, "hint:"), cleanLines(hint))
	}
	for _, one := range next {
		f.Errf("  %s\n", format.Clean(one))
	}
}

// Limits of a printed error: lines, places, and characters per line.
const (
	maxLines  = 40
	maxPlaces = 20
	maxLine   = 4000
)

// fit cleans a line and truncates it to maxLine characters.
func fit(s string) string { return format.Fit(format.Clean(s), maxLine) }

// cleanLines cleans a text of several lines. It puts a bar before every line but the first, so that no text from elsewhere can fake
// a line of bothy.
func cleanLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if more := len(lines) - maxLines; more > 0 {
		lines = append(lines[:maxLines], fmt.Sprintf("... and %d more lines", more))
	}
	for i, l := range lines {
		lines[i] = fit(l)
	}
	return strings.Join(lines, "\n  | ")
}
