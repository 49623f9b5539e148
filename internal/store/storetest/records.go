package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

func states(t *testing.T, open Open) {
	s := open(t)
	env := admitWork(t, s, 1, fleet.Create)
	other := admitWork(t, s, 2, fleet.Create)
	now := base.Add(time.Hour)
	mustTake(t, s, "w1", now, now.Add(time.Hour))
	mustTake(t, s, "w1", now, now.Add(time.Hour))
	save := func(id string, serial int64, content string) error {
		return s.SaveState(t.Context(), id, 1, serial, []byte(content))
	}
	latest := func(id string, serial int64, content string) {
		t.Helper()
		sealed, got, err := s.LatestState(t.Context(), id)
		if err != nil || got != serial || !bytes.Equal(sealed, []byte(content)) {
			t.Fatalf("the newest state is %q at %d, error %v; want %q at %d", sealed, got, err, content, serial)
		}
	}

	_, _, err := s.LatestState(t.Context(), env.ID)
	wantCode(t, err, fleet.CodeNotFound)
	wantCode(t, save("nobody", 1, "x"), fleet.CodeNotFound)
	wantCode(t, save(env.ID, 1, ""), fleet.CodeInternal)
	wantCode(t, s.SaveState(t.Context(), env.ID, 0, 1, []byte("x")), fleet.CodeInternal)
	if err := save(other.ID, 0, "\x00\xffbytes"); err != nil {
		t.Fatal(err)
	}
	for serial := int64(1); serial <= 14; serial++ {
		if err := save(env.ID, serial, fmt.Sprintf("state %d", serial)); err != nil {
			t.Fatal(err)
		}
		latest(env.ID, serial, fmt.Sprintf("state %d", serial))
	}
	wantCode(t, save(env.ID, 13, "back"), fleet.CodeConflict)
	latest(env.ID, 14, "state 14")
	if err := save(env.ID, 14, "state 14 again"); err != nil {
		t.Fatal(err)
	}
	latest(env.ID, 14, "state 14 again")
	latest(other.ID, 0, "\x00\xffbytes")
	kept, err := s.Serials(t.Context(), env.ID)
	if err != nil {
		t.Fatal(err)
	}
	same(t, kept, []int64{14, 13, 12, 11, 10, 9, 8, 7, 6, 5})

	if err := s.DropStates(t.Context(), env.ID); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.LatestState(t.Context(), env.ID)
	wantCode(t, err, fleet.CodeNotFound)
	latest(other.ID, 0, "\x00\xffbytes")
	if err := save(env.ID, 1, "anew"); err != nil {
		t.Fatal(err)
	}
}

func events(t *testing.T, open Open) {
	s := open(t)
	for n := range 2 {
		mustAdmit(t, s, environment(n))
	}
	for i := range 4 {
		id := environment(i % 2).ID
		_, err := s.Change(t.Context(), id, store.Expect{}, func(*fleet.Environment) (store.Writes, error) {
			return store.Writes{Events: []fleet.Event{{At: base, Kind: "tick", EnvironmentID: "not this"}}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		id    string
		after int64
		limit int
		want  []int64
	}{
		{"", 0, 0, []int64{1, 2, 3, 4, 5, 6}},
		{"", 0, 2, []int64{1, 2}},
		{"", 4, 0, []int64{5, 6}},
		{"", 6, 0, nil},
		{environment(0).ID, 0, 0, []int64{1, 3, 5}},
		{environment(0).ID, 1, 1, []int64{3}},
		{environment(1).ID, 0, 0, []int64{2, 4, 6}},
		{"nobody", 0, 0, nil},
	} {
		events, err := s.Events(t.Context(), c.id, c.after, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, e := range events {
			got = append(got, e.Seq)
			if c.id != "" && e.EnvironmentID != c.id {
				t.Errorf("an event of %s came with those of %s", e.EnvironmentID, c.id)
			}
		}
		same(t, got, c.want)
	}
	if entries, err := s.Entries(t.Context(), "nobody"); err != nil || len(entries) != 0 {
		t.Fatalf("%d entries, error %v", len(entries), err)
	}
}

func logs(t *testing.T, open Open) {
	s := open(t)
	id, other := mustAdmit(t, s, environment(1)).ID, mustAdmit(t, s, environment(2)).ID
	line := func(i int) fleet.LogLine {
		return fleet.LogLine{At: base.Add(time.Duration(i) * time.Second), Source: "terraform", Text: fmt.Sprintf("line %d", i)}
	}
	read := func(after int64, since time.Time, limit int) []fleet.LogLine {
		t.Helper()
		lines, err := s.Log(t.Context(), id, after, since, limit)
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	if err := s.AppendLog(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.AppendLog(t.Context(), "nobody", []fleet.LogLine{line(1)}), fleet.CodeNotFound)
	if err := s.AppendLog(t.Context(), id, []fleet.LogLine{line(1), line(2)}); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendLog(t.Context(), other, []fleet.LogLine{line(9)}); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendLog(t.Context(), id, []fleet.LogLine{line(3)}); err != nil {
		t.Fatal(err)
	}
	all := []fleet.LogLine{line(1), line(2), line(3)}
	for i := range all {
		all[i].Seq = int64(i + 1)
	}
	same(t, read(0, time.Time{}, 0), all)
	same(t, read(1, time.Time{}, 0), all[1:])
	same(t, read(0, time.Time{}, 2), all[:2])
	same(t, read(0, base.Add(2*time.Second), 0), all[1:])
	same(t, read(3, time.Time{}, 0), []fleet.LogLine(nil))

	t.Run("odd lines", func(t *testing.T) {
		long := "x" + strings.Repeat("é", store.MaxLogLine)
		err := s.AppendLog(t.Context(), id, []fleet.LogLine{{At: base, Text: "nul \x00, not text \xff"}, {At: base, Text: long}})
		if err != nil {
			t.Fatal(err)
		}
		got := read(3, time.Time{}, 0)
		if len(got) != 2 || got[0].Text != "nul \uFFFD, not text \uFFFD" {
			t.Fatalf("got %d lines, the first %q", len(got), got[0].Text)
		}
		if cut := got[1].Text; len(cut) > store.MaxLogLine+len("…") || !strings.HasSuffix(cut, "é…") || !utf8.ValidString(cut) {
			t.Fatalf("the long line is kept with %d bytes, ending in %q", len(cut), cut[len(cut)-8:])
		}
	})
	t.Run("cap", func(t *testing.T) {
		wantKept := func(last int64) {
			t.Helper()
			lines := read(0, time.Time{}, 1<<30)
			if len(lines) != store.KeptLogLines || lines[0].Seq != last-store.KeptLogLines+1 || lines[len(lines)-1].Seq != last {
				t.Fatalf("%d lines are kept, %d to %d; want the newest %d up to %d",
					len(lines), lines[0].Seq, lines[len(lines)-1].Seq, store.KeptLogLines, last)
			}
		}
		many := make([]fleet.LogLine, store.KeptLogLines+7)
		for i := range many {
			many[i] = line(i)
		}
		if err := s.AppendLog(t.Context(), id, many); err != nil { // more than fits at once
			t.Fatal(err)
		}
		last := int64(5 + len(many))
		wantKept(last)
		if err := s.AppendLog(t.Context(), id, many[:100]); err != nil {
			t.Fatal(err)
		}
		wantKept(last + 100)
		if lines, err := s.Log(t.Context(), other, 0, time.Time{}, 0); err != nil || len(lines) != 1 {
			t.Fatalf("the other log has %d lines, error %v", len(lines), err)
		}
	})
	t.Run("ended context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.AppendLog(ctx, id, []fleet.LogLine{line(1)}); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	})
}
