package storetest

import (
	"context"
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
)

func settings(t *testing.T, open Open) {
	s := open(t)
	expect := func(name, want string) {
		t.Helper()
		if got, err := s.Setting(t.Context(), name); err != nil || got != want {
			t.Fatalf("setting %s is %q, error %v; want %q", name, got, err, want)
		}
	}
	expect("brake", "")
	for _, value := range []string{"on", "é\"'\n", ""} {
		if err := s.SetSetting(t.Context(), "brake", value); err != nil {
			t.Fatal(err)
		}
		expect("brake", value)
	}
	expect("other", "")
	wantCode(t, s.SetSetting(t.Context(), "", "x"), fleet.CodeInternal)

	now, ok, err := s.Now(t.Context())
	if err != nil || ok != s.Shared() || now.IsZero() == ok {
		t.Fatalf("the database's clock: %v, %v, %v", now, ok, err)
	}
	lead, lost, resign, err := s.Lead(t.Context())
	if err != nil || !lead || (lost == nil) == s.Shared() {
		t.Fatalf("the only daemon leads: %v, %v", lead, err)
	}
	resign()
	// Without anything to hear, it ends with its context.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wakes(ctx, func(string) {}); err != nil {
		t.Fatal(err)
	}
}
