package config_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/config"
)

// README's table has every key and no other: "`log.level`, `format`" are two of one section.
func TestREADMEHasEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "## Configuration of bothyd")
	table, _, ended := strings.Cut(table, "\n## ")
	if !found || !ended {
		t.Fatal("README has no configuration of bothyd")
	}
	told := map[string]bool{}
	name := regexp.MustCompile("`([a-z_.]+)`")
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		section := ""
		for _, m := range name.FindAllStringSubmatch(strings.Split(line, "|")[1], -1) {
			key := m[1]
			if before, _, dotted := strings.Cut(key, "."); dotted {
				section = before + "."
			} else {
				key = section + key
			}
			told[key] = true
		}
	}
	for _, s := range (config.Config{}).Effective(nil) {
		if !told[s.Key] {
			t.Errorf("README's table lacks %s", s.Key)
		}
		delete(told, s.Key)
	}
	for key := range told {
		t.Errorf("README's table has %s, which is no key", key)
	}
}
