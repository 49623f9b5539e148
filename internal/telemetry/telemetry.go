// Package telemetry makes the daemon's logger.
package telemetry

import (
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// Formats of a log.
const (
	// FormatAuto is text on a terminal and JSON otherwise.
	FormatAuto = "auto"
	FormatText = "text"
	FormatJSON = "json"
)

// NewLogger returns a logger that writes records of level ("debug", "info", "warn" or "error") or above to w, in one of the formats.
// Another level or format is an error.
func NewLogger(w *os.File, level, format string) (*slog.Logger, error) {
	var least slog.Level
	switch level {
	case "debug":
		least = slog.LevelDebug
	case "info":
		least = slog.LevelInfo
	case "warn":
		least = slog.LevelWarn
	case "error":
		least = slog.LevelError
	default:
		return nil, fmt.Errorf("make logger: level %q is none of debug, info, warn, error", level)
	}
	options := &slog.HandlerOptions{Level: least}
	if format == FormatAuto {
		format = FormatJSON
		if term.IsTerminal(int(w.Fd())) {
			format = FormatText
		}
	}
	switch format {
	case FormatText:
		return slog.New(slog.NewTextHandler(w, options)), nil
	case FormatJSON:
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("make logger: format %q is none of auto, text, json", format)
}
