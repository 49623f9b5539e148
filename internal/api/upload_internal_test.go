package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// drip gives a part at each read, after a time that it takes off a clock.
type drip struct {
	clock *time.Time
	takes time.Duration
	bytes int
	left  int
}

func (d *drip) Read(p []byte) (int, error) {
	*d.clock = d.clock.Add(d.takes)
	if d.left--; d.left < 0 {
		return 0, io.EOF
	}
	return min(d.bytes, len(p)), nil
}

// An upload that trickles ends; one at the least rate, and one that a slow sandbox takes, go on.
func TestAnUploadHasALeastRate(t *testing.T) {
	for name, c := range map[string]struct {
		takes time.Duration
		bytes int
		// idle passes between reads: the sandbox takes its time.
		idle time.Duration
		slow bool
	}{
		"a byte a second":          {time.Second, 1, 0, true},
		"a byte in 59 s":           {59 * time.Second, 1, 0, true},
		"just under the least":     {time.Second, 1000, 0, true},
		"the least":                {time.Second, 1024, 0, false},
		"64 KiB a minute":          {time.Minute, 64 << 10, 0, false},
		"quick, to a slow sandbox": {time.Millisecond, 100, time.Minute, false},
		"quick":                    {time.Millisecond, 32 << 10, 0, false},
		"slow, to a slow sandbox":  {time.Second, 1, time.Minute, true},
	} {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		u := &upload{
			body: &drip{clock: &now, takes: c.takes, bytes: c.bytes, left: 500}, rc: http.NewResponseController(httptest.NewRecorder()),
			stall: time.Minute, rate: 1 << 10, ctx: context.Background(), now: func() time.Time { return now },
		}
		reads := 0
		buf := make([]byte, 64<<10)
		for {
			_, err := u.Read(buf)
			if reads++; err != nil {
				if slow := errors.Is(err, errSlow); slow != c.slow || (!slow && !errors.Is(err, io.EOF)) {
					t.Errorf("%s: ended after %d reads with %v", name, reads, err)
				}
				break
			}
			now = now.Add(c.idle)
		}
		if c.slow && (reads > 62 || !strings.Contains(u.reason(), "less than 1024 bytes per second")) {
			t.Errorf("%s: %d reads, %s", name, reads, u.reason())
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	u := &upload{body: strings.NewReader("x"), rc: http.NewResponseController(httptest.NewRecorder()), ctx: ctx, now: time.Now}
	if n, err := u.Read(make([]byte, 1)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("read %d after the end of the request: %v", n, err)
	}
}
