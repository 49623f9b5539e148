package storetest

import (
	"context"
	"fmt"
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
	// Without anything to hear, it ends with its context.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wakes(ctx, func(string) {}, func(string) {}); err != nil {
		t.Fatal(err)
	}
}

// settingOnce: of many who keep a setting at once one is first, and all are told its value.
func settingOnce(t *testing.T, open Open) {
	s := open(t)
	const writers = 32
	var got [writers]string
	inParallel(writers, writers, func(i int) {
		kept, err := s.SettingOnce(t.Context(), "key", fmt.Sprint("of ", i))
		if err != nil {
			t.Error(err)
		}
		got[i] = kept
	})
	for _, kept := range got {
		if kept == "" || kept != got[0] {
			t.Fatalf("they were told %q", got)
		}
	}
	if now, err := s.Setting(t.Context(), "key"); err != nil || now != got[0] {
		t.Errorf("it is %q now, %v; want %q", now, err, got[0])
	}
	if err := s.SetSetting(t.Context(), "key", ""); err != nil {
		t.Fatal(err)
	}
	if kept, err := s.SettingOnce(t.Context(), "key", "new"); err != nil || kept != "new" {
		t.Errorf("where it was taken away it is %q, %v", kept, err)
	}
	_, err := s.SettingOnce(t.Context(), "key", "")
	wantCode(t, err, fleet.CodeInternal)
}
