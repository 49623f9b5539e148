package telemetry_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/telemetry"
)

func open(t *testing.T) (*os.File, func() string) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file, func() string {
		text, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

func TestJSONWhereThereIsNoTerminal(t *testing.T) {
	for _, format := range []string{telemetry.FormatAuto, telemetry.FormatJSON} {
		file, written := open(t)
		logger, err := telemetry.NewLogger(file, "info", format)
		if err != nil {
			t.Fatal(err)
		}
		logger.Info("hello", "n", 1)
		var line struct {
			Level, Msg string
			N          int
		}
		if err := json.Unmarshal([]byte(written()), &line); err != nil || line.Msg != "hello" || line.Level != "INFO" || line.N != 1 {
			t.Errorf("%s: %q, %v", format, written(), err)
		}
	}
}

func TestTextOnATerminal(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		t.Skipf("this machine gives no terminals: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	logger, err := telemetry.NewLogger(terminal, "info", telemetry.FormatAuto)
	if err != nil {
		t.Fatal(err)
	}
	if _, text := logger.Handler().(*slog.TextHandler); !text {
		t.Errorf("on a terminal the handler is %T", logger.Handler())
	}
}

func TestTextWhenAskedFor(t *testing.T) {
	file, written := open(t)
	logger, err := telemetry.NewLogger(file, "info", telemetry.FormatText)
	if err != nil {
		t.Fatal(err)
	}
	logger.Info("hello", "n", 1)
	if !strings.Contains(written(), "level=INFO msg=hello n=1") {
		t.Errorf("written: %q", written())
	}
}

func TestLevels(t *testing.T) {
	levels := []string{"debug", "info", "warn", "error"}
	for i, level := range levels {
		file, written := open(t)
		logger, err := telemetry.NewLogger(file, level, telemetry.FormatJSON)
		if err != nil {
			t.Fatal(err)
		}
		logger.Debug("x")
		logger.Info("x")
		logger.Warn("x")
		logger.Error("x")
		if got, want := strings.Count(written(), "\n"), len(levels)-i; got != want {
			t.Errorf("at level %s %d lines were written, want %d", level, got, want)
		}
	}
}

func TestUnknownLevelOrFormat(t *testing.T) {
	file, _ := open(t)
	if _, err := telemetry.NewLogger(file, "loud", "json"); err == nil || !strings.Contains(err.Error(), "loud") {
		t.Errorf("level loud: %v", err)
	}
	if _, err := telemetry.NewLogger(file, "info", "xml"); err == nil || !strings.Contains(err.Error(), "xml") {
		t.Errorf("format xml: %v", err)
	}
}
