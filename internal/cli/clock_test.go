package cli_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/cli"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
)

// TestTimesAgoAreTheDaemons: laptops wake with a wrong clock; "50 minutes ago" means 50 minutes before the daemon's now.
func TestTimesAgoAreTheDaemons(t *testing.T) {
	there := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	var asked []string
	host := daemonAt(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", there.Format(http.TimeFormat))
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/v1/environments/a/logs":
			w.Header().Set("Content-Type", "application/x-ndjson")
			asked = append(asked, r.URL.Query().Get("since"))
		case "/v1/cost":
			asked = append(asked, r.URL.Query().Get("since"), r.URL.Query().Get("until"))
			_, _ = io.WriteString(w, `{"rows":[],"total":{}}`)
		default:
			_, _ = io.WriteString(w, `{"version":"1.2.3","checks":[]}`)
		}
	})
	command := func(here time.Time, args ...string) (int, string) {
		var out bytes.Buffer
		code := cli.Main(cli.Process{
			Args: append([]string{"--host", host}, args...), Version: "1.2.3", Now: func() time.Time { return here },
			Getenv: func(string) string { return "" }, NewKey: func() string { return "key" },
			IO: &iostreams.IO{In: strings.NewReader(""), Out: &out, Err: &out},
		})
		return code, out.String()
	}
	for _, skew := range []time.Duration{time.Hour, 0, -3 * time.Hour} {
		asked = nil
		for _, args := range [][]string{{"logs", "a", "--since", "50m"}, {"cost", "--since", "30m", "--until", "10m"}, {"logs", "a", "--since", "2026-01-31T15:04:05Z"}} {
			if code, out := command(there.Add(skew), args...); code != 0 {
				t.Fatalf("%v: %d, %s", args, code, out)
			}
		}
		want := "2026-03-04T11:10:00Z 2026-03-04T11:30:00Z 2026-03-04T11:50:00Z 2026-01-31T15:04:05Z"
		if got := strings.Join(asked, " "); got != want {
			t.Errorf("clock off by %s: asked for %s, want %s", skew, got, want)
		}
		_, out := command(there.Add(skew), "doctor")
		if told := strings.Contains(out, "the daemon's") && strings.Contains(out, "warning  clock"); told != (skew != 0) {
			t.Errorf("clock off by %s: doctor said so: %v\n%s", skew, told, out)
		}
	}
}

// daemonAt serves a handler at a socket and gives its address.
func daemonAt(t *testing.T, handle http.HandlerFunc) (host string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "cli")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handle)
	_ = server.Listener.Close()
	server.Listener = ln
	server.Start()
	t.Cleanup(func() {
		server.Close()
		_ = os.RemoveAll(dir)
	})
	return "unix://" + ln.Addr().String()
}
