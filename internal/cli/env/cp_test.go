package env

import "testing"

func TestParseRemote(t *testing.T) {
	for s, want := range map[string]remote{
		"web:": {"web", ""}, "web:a": {"web", "a"}, "web:/a:b": {"web", "/a:b"}, "web:.": {"web", "."},
	} {
		if got, ok := parseRemote(s); !ok || got != want {
			t.Errorf("parseRemote(%q) = %v, %v, want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"a", "", "-", ":", ":a", "./web:a", "/web:a", "dir/web:a", ".:a", "../web:a"} {
		if got, ok := parseRemote(s); ok {
			t.Errorf("parseRemote(%q) = %v, want a local path", s, got)
		}
	}
}

func TestInside(t *testing.T) {
	for _, c := range []struct {
		p, want         string
		contents, slash bool
	}{
		{"", "/workspace", false, false},
		{".", "/workspace", true, false},
		{"a", "/workspace/a", false, false},
		{"a/", "/workspace/a", false, true},
		{"a/.", "/workspace/a", true, false},
		{"/etc/../tmp", "/tmp", false, false},
		{"/", "/", false, true},
		{"../x", "/x", false, false},
	} {
		if got, contents, slash := inside("/workspace", c.p); got != c.want || contents != c.contents || slash != c.slash {
			t.Errorf("inside(%q) = %q, %v, %v, want %q, %v, %v", c.p, got, contents, slash, c.want, c.contents, c.slash)
		}
	}
}
