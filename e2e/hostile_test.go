package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// hostileAtOnce is how many wrong requests are under way at the same time.
	hostileAtOnce = 200
	// hostileMemory is what the daemon may take meanwhile, in bytes.
	hostileMemory = 512 << 20
)

// hostileBodies are just under the limit of a body, and cost a validator many times what they cost their sender.
func hostileBodies() []struct{ method, path, body string } {
	list := func(head, part, tail string, n int) string {
		return head + strings.TrimSuffix(strings.Repeat(part+",", n), ",") + tail
	}
	var keys strings.Builder
	for i := range 80_000 {
		fmt.Fprintf(&keys, `"%d":1,`, i)
	}
	unknown := "{" + strings.TrimSuffix(keys.String(), ",") + "}"
	pool := `{"blueprint":"b","target":1,"min":0,"surge":0,"pause":false,"schedule":[`
	return []struct{ method, path, body string }{
		{"PUT", "/v1/pools/x", list(pool, "{}", "]}", 300_000)},
		{"PUT", "/v1/pools/x", list(pool, "{}", "]}", 3_000)}, // passes the count of marks
		{"PUT", "/v1/pools/x", list(pool, "1", "]}", 400_000)},
		{"POST", "/v1/orphans/adopt", list(`{"environments":[`, "1", "]}", 400_000)},
		{"POST", "/v1/environments", unknown},
		{"POST", "/v1/environments", `{"vars":` + unknown + `}`},
		{"POST", "/v1/environments", `{"project":"` + strings.Repeat("x", 900_000) + `"}`},
		{"POST", "/v1/environments", `{"size":"` + strings.Repeat(`\u0001`, 150_000) + `"}`},
		{"POST", "/v1/environments", `{"secrets":{"A":"` + strings.Repeat("A", 690_000) + `"},"nope":1}`},
		{"POST", "/v1/environments", strings.Repeat("[", 900_000)},
	}
}

// TestHostileBodies: 200 wrong requests of a megabyte side by side neither end the daemon nor keep others waiting. It lives in
// a memory cgroup of 512 MiB where the test may make one, and else its own account of its peak is looked at.
func TestHostileBodies(t *testing.T) {
	d := start(t, "--driver", "fake")
	d.confine(t, hostileMemory)
	transport := &http.Transport{
		MaxIdleConnsPerHost: hostileAtOnce,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(d.dir, "s", "bothyd.sock"))
		},
	}
	defer transport.CloseIdleConnections()
	ask := func(method, path, body string) (status, size int, err error) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://bothyd"+path, strings.NewReader(body))
		if err != nil {
			return 0, 0, err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := (&http.Client{Transport: transport, Timeout: patience}).Do(req)
		if err != nil {
			return 0, 0, err
		}
		defer resp.Body.Close()
		n, err := io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, int(n), err
	}

	stop, looked := make(chan struct{}), make(chan []time.Duration, 1)
	go func() {
		var took []time.Duration
		defer func() { looked <- took }()
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			begun := time.Now()
			if status, _, err := ask("GET", "/v1/environments", ""); err != nil || status != http.StatusOK {
				t.Errorf("a list meanwhile: %d, %v", status, err)
				return
			}
			took = append(took, time.Since(begun))
		}
	}()
	bodies := hostileBodies()
	begun := time.Now()
	var sent sync.WaitGroup
	for i := range hostileAtOnce {
		sent.Go(func() {
			for j := range 3 { // all kinds meet
				b := bodies[(i+j)%len(bodies)]
				status, size, err := ask(b.method, b.path, b.body)
				if err != nil || status/100 != 4 || size > 16<<10 {
					t.Errorf("%s %s: %d with %d bytes, %v", b.method, b.path, status, size, err)
				}
			}
		})
	}
	sent.Wait()
	close(stop)
	took := <-looked
	if len(took) == 0 {
		t.Fatal("no list was answered meanwhile")
	}
	slices.Sort(took)
	peak := d.peak(t)
	t.Logf("%d wrong requests in %s; %d lists meanwhile: p50 %s, p99 %s, worst %s; peak memory %d MiB",
		3*hostileAtOnce, time.Since(begun).Round(time.Millisecond), len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1], peak>>20)
	if peak > hostileMemory {
		t.Errorf("the daemon took %d MiB", peak>>20)
	}
	d.bothy("ls").want(t, 0)
}

// confine puts the daemon into a memory cgroup, where this machine lets the test make one.
func (d *daemon) confine(t *testing.T, bytes int64) {
	t.Helper()
	for _, c := range []struct{ root, limit string }{{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"}} {
		group := filepath.Join(c.root, "bothy-e2e-"+d.instance)
		if os.Mkdir(group, 0o755) != nil {
			continue
		}
		t.Cleanup(func() {
			// It is empty once the daemon has ended, which is later than this.
			pids, _ := os.ReadFile(filepath.Join(group, "cgroup.procs"))
			for _, pid := range strings.Fields(string(pids)) {
				_ = os.WriteFile(filepath.Join(c.root, "cgroup.procs"), []byte(pid), 0o644)
			}
			if err := os.Remove(group); err != nil {
				t.Errorf("remove cgroup: %v", err)
			}
		})
		err := os.WriteFile(filepath.Join(group, c.limit), []byte(strconv.FormatInt(bytes, 10)), 0o644)
		if err == nil {
			err = os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(d.cmd.Process.Pid)), 0o644)
		}
		if err == nil {
			t.Logf("the daemon is in %s, with %d MiB", group, bytes>>20)
			return
		}
	}
	t.Log("no memory cgroup can be made here: the daemon's own peak is looked at alone")
}

// peak is the most memory that the daemon has had, in bytes.
func (d *daemon) peak(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("no peak in %s", status)
	return 0
}
