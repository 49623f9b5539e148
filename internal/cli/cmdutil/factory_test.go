package cmdutil_test

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/bothy-env/bothy/internal/cli/cmdutil"
)

// TestATokenIsTrimmed: what puts secrets into variables and files often leaves the line's end in.
func TestATokenIsTrimmed(t *testing.T) {
	var got string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"version":"x"}`)
	}))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"tok", "tok\n", " tok\r\n"} {
		f := &cmdutil.Factory{CAFile: ca, Getenv: func(key string) string {
			return map[string]string{"BOTHY_HOST": " " + server.URL + "\n", "BOTHY_TOKEN": token}[key]
		}}
		c, err := f.Client()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Version(t.Context()); err != nil || got != "Bearer tok" {
			t.Errorf("%q was sent as %q, %v", token, got, err)
		}
		c.Close()
	}
}
