package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
)

// flood answers with head and then piece over and over, and counts what was taken.
func flood(kind, head, piece string, sent *atomic.Int64) func(net.Conn, *http.Request) {
	return func(c net.Conn, _ *http.Request) {
		fmt.Fprintf(c, "HTTP/1.1 200 X\r\nContent-Type: %s\r\nConnection: close\r\n\r\n%s", kind, head)
		block := []byte(strings.Repeat(piece, 1+64<<10/len(piece)))
		for sent.Load() < 256<<20 {
			n, err := c.Write(block)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
}

// calls are one of each kind of answer.
var calls = map[string]func(context.Context, *client.Client) error{
	"get": func(ctx context.Context, c *client.Client) error { _, err := c.Get(ctx, "x"); return err },
	"list": func(ctx context.Context, c *client.Client) error {
		_, err := c.List(ctx, client.ListOptions{})
		return err
	},
	"pools":   func(ctx context.Context, c *client.Client) error { _, err := c.Pools(ctx); return err },
	"events":  func(ctx context.Context, c *client.Client) error { _, err := c.Events(ctx, "x", 0, 50); return err },
	"orphans": func(ctx context.Context, c *client.Client) error { _, err := c.Orphans(ctx); return err },
	"cost": func(ctx context.Context, c *client.Client) error {
		_, err := c.Cost(ctx, "user", time.Time{}, time.Time{})
		return err
	},
	"receipts":   func(ctx context.Context, c *client.Client) error { _, err := c.Receipts(ctx, 0); return err },
	"health":     func(ctx context.Context, c *client.Client) error { _, err := c.Health(ctx); return err },
	"blueprints": func(ctx context.Context, c *client.Client) error { _, err := c.Blueprints(ctx); return err },
}

var streams = map[string]func(context.Context, *client.Client) error{
	"logs": func(ctx context.Context, c *client.Client) error {
		return c.Logs(ctx, "x", time.Time{}, false, func(wire.LogLine) error { return nil })
	},
	"watch": func(ctx context.Context, c *client.Client) error {
		return c.Watch(ctx, "x", 0, func(wire.Update) error { return nil })
	},
	"follow": func(ctx context.Context, c *client.Client) error {
		return c.FollowEvents(ctx, client.EventOptions{}, func(wire.Event) error { return nil })
	},
}

// TestAnAnswerTakesNoMoreThanWasAskedFor: of an answer without end little is read, and less is kept.
func TestAnAnswerTakesNoMoreThanWasAskedFor(t *testing.T) {
	const mostRead, mostKept = 64 << 20, 160 << 20
	type try struct {
		name, kind, head, piece string
		call                    func(context.Context, *client.Client) error
	}
	var tries []try
	for name, call := range calls {
		key := map[string]string{"list": "environments", "cost": "rows"}[name]
		if key == "" {
			key = name
		}
		for _, piece := range []string{"{},", " ", `[`, `{"inputs":{"a":[`} {
			tries = append(tries, try{name + " of " + piece, "application/json", `{"` + key + `":[`, piece, call})
		}
		tries = append(tries, try{name + ", one text", "application/json", `{"` + key + `":"`, "x", call},
			try{name + ", many keys", "application/json", `{`, `"k":1,`, call}, try{name + ", a problem", wire.ProblemType, `{"errors":[`, "{},", call})
	}
	for name, call := range streams {
		tries = append(tries, try{name + ", a line without end", "application/x-ndjson", "", "x", call}, try{name + ", a text without end", "application/x-ndjson", `{"text":"`, "x", call},
			try{name + ", a line of lists", "application/x-ndjson", `{"events":[`, "null,", call})
	}
	for _, x := range tries {
		t.Run(x.name, func(t *testing.T) {
			sent := &atomic.Int64{}
			host, _ := peer(t, flood(x.kind, x.head, x.piece, sent))
			c := connect(t, client.Options{Host: host})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := x.call(t.Context(), c)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Error("it was taken for an answer")
			}
			if e := (*client.Error)(nil); !errors.As(err, &e) || !strings.Contains(e.Sentence, "unexpected answer from ") || e.Hint == "" {
				t.Errorf("got %v", err)
			}
			c.Close()
			// A page that is too large is asked for again, in smaller ones.
			if got := sent.Load(); got > mostRead {
				t.Errorf("%d MiB were read", got>>20)
			}
			if grown := int64(after.Sys) - int64(before.Sys); grown > mostKept {
				t.Errorf("the process grew by %d MiB", grown>>20)
			}
		})
	}
}

// TestAShortAnswerStandsForLittle: "null," is five bytes, and an item of a list a hundred or more.
func TestAShortAnswerStandsForLittle(t *testing.T) {
	const most = 128 << 20
	for name, x := range map[string]struct {
		key, call, item, end string
		size                 int
	}{
		"rows of costs": {"rows", "cost", "null,", "null]}", 15 << 20}, "orphans": {"orphans", "orphans", "{},", "{}]}", 7 << 20},
		"checks": {"checks", "health", "null,", "null]}", 1000 << 10}, "inputs": {"inputs", "get", "[],", "[]]}", 1000 << 10},
		"secrets of one of a list": {`environments":[{"secrets`, "list", "null,", "null]}]}", 7 << 20},
		"inputs of one of a list":  {`environments":[{"inputs":{"a`, "list", "{},", "{}]}}]}", 7 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			host, _ := peer(t, say(200, "application/json", `{"`+x.key+`":[`+strings.Repeat(x.item, x.size/len(x.item))+x.end))
			c := connect(t, client.Options{Host: host})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := calls[x.call](t.Context(), c)
			runtime.ReadMemStats(&after)
			if client.CodeOf(err) != wire.CodeTooLarge {
				t.Errorf("got %v, want code %s", err, wire.CodeTooLarge)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > most {
				t.Errorf("%d MiB were allocated for %d MiB", got>>20, x.size>>20)
			}
		})
	}
}

// TestWhatIsNoAnswerOfBothysIsSaidToBeNone: pages of others, and JSON of another form.
func TestWhatIsNoAnswerOfBothysIsSaidToBeNone(t *testing.T) {
	for name, call := range calls {
		bodies := map[string]string{"null": "null", "a list": "[]", "text": `"x"`, "a number": "1", "nothing": "", "html": "<html>", "two": "{}{}"}
		if name != "get" && name != "health" && name != "cost" && name != "orphans" {
			bodies["no list"], bodies["a list of nulls"], bodies["a list of numbers"] = "{}", `{"environments":[null],"pools":[null],"events":[null],"receipts":[null],"blueprints":[null]}`,
				`{"environments":[1],"pools":[1],"events":[1],"receipts":[1],"blueprints":[1]}`
		}
		for what, body := range bodies {
			host, _ := peer(t, say(200, "application/json", body))
			err := call(t.Context(), connect(t, client.Options{Host: host}))
			if e := (*client.Error)(nil); !errors.As(err, &e) || !strings.Contains(e.Sentence, "unexpected answer from "+host) || !strings.Contains(e.Hint, "check --host") {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		good := `{"environments":[],"pools":[],"events":[],"receipts":[],"blueprints":[],"orphans":[],"rows":[]}`
		for _, kind := range []string{"text/html", "", "text/plain", "application/x-ndjson", "application/xml"} {
			host, _ := peer(t, say(200, kind, good))
			if err := call(t.Context(), connect(t, client.Options{Host: host})); err == nil || !strings.Contains(err.Error(), "unexpected answer from ") {
				t.Errorf("%s as %q: %v", name, kind, err)
			}
		}
		host, _ := peer(t, say(200, "application/json; charset=utf-8", good))
		if err := call(t.Context(), connect(t, client.Options{Host: host})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, call := range streams {
		for _, x := range [][2]string{{"application/json", "{}\n"}, {"text/html", "<html>\n"}} {
			host, _ := peer(t, say(200, x[0], x[1]))
			if err := call(t.Context(), connect(t, client.Options{Host: host})); err == nil || !strings.Contains(err.Error(), "unexpected answer from ") {
				t.Errorf("%s as %s: %v", name, x[0], err)
			}
		}
		host, _ := peer(t, say(200, "application/x-ndjson", `{"text":"half a line`))
		if err := call(t.Context(), connect(t, client.Options{Host: host})); client.CodeOf(err) != wire.CodeUnavailable {
			t.Errorf("%s, cut off in a line: %v", name, err)
		}
		host, _ = peer(t, say(200, "application/x-ndjson", "\n{}\n\n\n{}\n"))
		if err := call(t.Context(), connect(t, client.Options{Host: host})); err != nil {
			t.Errorf("%s, with lines of nothing: %v", name, err)
		}
	}
}

// TestAListEnds: whatever the daemon says comes next.
func TestAListEnds(t *testing.T) {
	page := func(items int, next string) func(net.Conn, *http.Request) {
		return say(200, "application/json", `{"environments":[`+strings.TrimSuffix(strings.Repeat(`{"name":"x"},`, items), ",")+`],"next":"`+next+`"}`)
	}
	for name, acts := range map[string][]func(net.Conn, *http.Request){
		"the same cursor again":   {page(1, "x")},
		"cursors in a circle":     {page(1, "x"), page(1, "y"), page(1, "x")},
		"a page of nothing":       {page(1, "x"), page(0, "y")},
		"more than was asked for": {page(1001, "")},
		"the beginning once more": {page(1, "x"), page(1, "y"), page(1, "y")},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		// A list that does not end must not keep the test.
		host, calls := peer(t, slices.Concat(acts, slices.Repeat(acts[len(acts)-1:], 3), []func(net.Conn, *http.Request){func(net.Conn, *http.Request) { cancel() }})...)
		_, err := connect(t, client.Options{Host: host}).List(ctx, client.ListOptions{})
		cancel()
		if e := (*client.Error)(nil); !errors.As(err, &e) || !strings.Contains(e.Sentence, "unexpected answer from ") || calls.Load() > 4 {
			t.Errorf("%s: %d calls, %v", name, calls.Load(), err)
		}
	}
	n := 0
	host, _ := peer(t, func(c net.Conn, r *http.Request) {
		n++
		page(1, strconv.Itoa(n))(c, r)
	})
	if _, err := connect(t, client.Options{Host: host}).List(t.Context(), client.ListOptions{}); err == nil || n > 2_100 {
		t.Errorf("always another cursor: %d calls, %v", n, err)
	}
	host, _ = peer(t, page(2, "x"), page(2, "y"), page(1, ""))
	empty, _ := peer(t, say(200, "application/json", `{"environments":null}`))
	if envs, err := connect(t, client.Options{Host: empty}).List(t.Context(), client.ListOptions{}); err != nil || envs == nil || len(envs) != 0 {
		t.Errorf("null for a list of none: %v, %v", envs, err)
	}
	if envs, err := connect(t, client.Options{Host: host}).List(t.Context(), client.ListOptions{}); err != nil || len(envs) != 5 {
		t.Errorf("an honest list: %d, %v", len(envs), err)
	}
}

// TestAPageThatIsTooLargeIsAskedForInSmallerOnes: environments with many variables are listed all the same.
func TestAPageThatIsTooLargeIsAskedForInSmallerOnes(t *testing.T) {
	env := `{"name":"x","vars":{"V":"` + strings.Repeat("v", 30_000) + `"}}`
	var asked []int
	host, _ := peer(t, func(c net.Conn, r *http.Request) {
		limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
		if err != nil {
			return
		}
		asked = append(asked, limit)
		from := 0
		if cursor := r.URL.Query().Get("cursor"); cursor != "" {
			from, _ = strconv.Atoi(cursor)
		}
		n, next := min(limit, 600-from), ""
		if from+n < 600 {
			next = strconv.Itoa(from + n)
		}
		say(200, "application/json", `{"environments":[`+strings.TrimSuffix(strings.Repeat(env+",", n), ",")+`],"next":"`+next+`"}`)(c, r)
	})
	envs, err := connect(t, client.Options{Host: host}).List(t.Context(), client.ListOptions{})
	if err != nil || len(envs) != 600 {
		t.Errorf("%d environments, %v; asked for %v", len(envs), err, asked)
	}
}

// TestAnExitCodeIsOne: 256 must not become 0.
func TestAnExitCodeIsOne(t *testing.T) {
	code := &atomic.Value{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{wire.ExecProtocol}})
		if err != nil {
			return
		}
		defer conn.CloseNow() //nolint:errcheck // the client closes first
		_, _, _ = conn.Read(r.Context())
		_ = conn.Write(r.Context(), websocket.MessageBinary, append([]byte{wire.ExecExit}, fmt.Sprintf(`{"exit_code":%s}`, code.Load())...))
		_, _, _ = conn.Read(r.Context()) // until the client has gone
	}))
	listener, err := net.Listen("unix", shortDir(t)+"/s")
	if err != nil {
		t.Fatal(err)
	}
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	c := connect(t, client.Options{Host: "unix://" + listener.Addr().String()})
	for text, want := range map[string]int{"0": 0, "1": 1, "255": 255, "256": -1, "4294967296": -1, "-1": -1, "18446744073709551616": -1, "1.5": -1, `"0"`: -1} {
		code.Store(text)
		got, err := c.Exec(t.Context(), "x", wire.ExecStart{Command: []string{"true"}}, client.ExecStreams{Stdout: io.Discard})
		if want < 0 && (err == nil || !strings.Contains(err.Error(), "exit code")) || want >= 0 && (err != nil || got != want) {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
}
