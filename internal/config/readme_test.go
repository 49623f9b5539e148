package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTheReadmesTableHasTheRealKeys: each key stands there as it is written in the file, and no other.
func TestTheReadmesTableHasTheRealKeys(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "| key | default | what |\n")
	if !ok {
		t.Fatal("there is no table of keys")
	}
	var listed []string
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		cell := strings.Split(line, "|")[1]
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
			listed = append(listed, m[1])
		}
	}
	for _, key := range keys() {
		if !slices.Contains(listed, key) {
			t.Errorf("README's table lacks %s", key)
		}
	}
	for _, key := range listed {
		if !isKey(key) {
			t.Errorf("README's table has %s, which is no key", key)
		}
	}
}
