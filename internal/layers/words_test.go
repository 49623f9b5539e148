package layers_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// phrase is a phrase to avoid, with the words to use instead. README's section Words has the terms.
type phrase struct {
	pattern *regexp.Regexp
	instead string
}

func avoid(pattern, instead string) phrase {
	return phrase{regexp.MustCompile(`(?i)\b(?:` + pattern + `)`), instead}
}

// avoided are phrases to avoid in texts and comments: they read as translated.
var avoided = []phrase{
	avoid(`what is wanted\b`, "the request, or its name"),
	avoid(`what there (?:is|was|are|were)\b`, "its resources, its state, or its name"),
	avoid(`that which\b`, "the name of the thing"),
	avoid(`(?:is|are|was|were|be) told\b`, "who shows, prints or reports it"),
	avoid(`(?:it|he|she|they|this|that) (?:is|are) said\b`, "the fact, or who reports it"),
	avoid(`as a rule\b`, "usually"),
	avoid(`thereby\b`, "so"),
	avoid(`(?:is|are) going(?: away)?(?:[.,;:]|$)`, "is being deleted"),
	avoid(`(?:stands?|stood) (?:on|there|between|in|at)\b`, "runs on, is in"),
	avoid(`(?:gives?|given) (?:it |them |one )?back\b`, "deletes, returns"),
	avoid(`takes? (?:it |them )?away\b|taken away\b`, "deletes, removes"),
	avoid(`lives? on\b`, "continues to run"),
	avoid(`dearest\b`, "highest"),
	avoid(`from nothing\b`, "cold"),
	avoid(`made up\b`, "generated"),
	avoid(`(?:some|no)body answers\b`, "another process is listening, connection refused"),
	avoid(`in mass\b`, "mass expiry"),
	avoid(`is there already\b`, "exists"),
	avoid(`for good\b`, "forever"),
	avoid(`tried twice\b`, "retries"),
}

// avoidedInTexts are phrases to avoid in help, errors and README. Comments and identifiers may use them.
var avoidedInTexts = []phrase{
	avoid(`may be given again\b`, "(repeatable)"),
	avoid(`is needed\b|\(needed\)|needs the platform role\b`, "is required, requires the platform role"),
	avoid(`exclude each other\b`, "cannot be used together"),
	avoid(`the input is no\b`, "stdin is not"),
	avoid(`the standard (?:input|output)\b`, "stdin, stdout"),
	avoid(`folders?\b`, "directory"),
	avoid(`goes? on\b|going on\b`, "continues"),
	avoid(`else (?:the|a|an|it|one|by|in|of|only)\b|else[.,;)]`, "otherwise"),
	avoid(`holds? for\b`, "applies to"),
	avoid(`there is no such\b`, "no such"),
	avoid(`may not be used by you\b`, "you may not use"),
}

// quoted are texts with an avoided phrase for a reason.
var quoted = map[string]string{
	`json:"folder"`: "a key of JSON output, which stays",
	"`folder`":      "the same in README",
}

// TestWordsOfTheField: one thing has one name, and sentences read as written by a native speaker.
func TestWordsOfTheField(t *testing.T) {
	root, seen := moduleRoot(t), 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !isProduct(rel) {
			return nil
		}
		seen++
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, b := range badWords(fset, file) {
			t.Errorf("%s:%d: avoid %q: write %s", rel, b.line, b.found, b.instead)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 150 {
		t.Errorf("looked at %d files, want 150 and more: is a room missing?", seen)
	}
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	prose, _, found := strings.Cut(string(text), "\n### Words\n") // the section itself quotes the words to avoid
	if !found {
		t.Error("README.md has no section Words")
	}
	for _, b := range badWordsIn(unquoted(prose), avoided, avoidedInTexts) {
		t.Errorf("README.md:%d: avoid %q: write %s", b.line, b.found, b.instead)
	}
}

// escapes are escape sequences of a string literal.
var escapes = regexp.MustCompile(`\\.`)

// badWord is an avoided phrase at a place.
type badWord struct {
	line           int
	found, instead string
}

// badWords finds avoided phrases in the comments and string literals of a file.
func badWords(fset *token.FileSet, file *ast.File) []badWord {
	var all []badWord
	add := func(pos token.Pos, text string, lists ...[]phrase) {
		first := fset.Position(pos).Line
		for _, b := range badWordsIn(text, lists...) {
			b.line += first - 1
			all = append(all, b)
		}
	}
	for _, group := range file.Comments {
		for _, c := range group.List {
			add(c.Pos(), c.Text, avoided)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(lit.Value)
		if err != nil || strings.HasPrefix(lit.Value, `"`) {
			text = escapes.ReplaceAllString(lit.Value, "  ") // keeps the line, and the word boundary
		}
		text = unquoted(text)
		if strings.Contains(text, " ") { // a single word is a key or a name
			add(lit.Pos(), text, avoided, avoidedInTexts)
		}
		return true
	})
	return all
}

// unquoted removes the texts of quoted.
func unquoted(text string) string {
	for quote := range quoted {
		text = strings.ReplaceAll(text, quote, "")
	}
	return text
}

func badWordsIn(text string, lists ...[]phrase) []badWord {
	var all []badWord
	line := 0
	for l := range strings.Lines(text) {
		line++
		for _, list := range lists {
			for _, p := range list {
				if found := p.pattern.FindString(l); found != "" {
					all = append(all, badWord{line, found, p.instead})
				}
			}
		}
	}
	return all
}

// The lint must see what it is for, and nothing else.
func TestAnAvoidedPhraseIsSeen(t *testing.T) {
	for code, want := range map[string]int{
		"// What is wanted comes from bothy.yaml.":                      1,
		"// Deletes environments.":                                      0,
		"var x = `first\nthose that wait are told their place`":         2,
		`var x = "a variable; may be given again"`:                      1,
		`var x = "give the folder"`:                                     1,
		"// A folder may be called so in a comment.":                    0,
		`var x = "folder"`:                                              0,
		"type T struct {\n\tF string `json:\"folder\" help:\"a b\"`\n}": 0,
		"// The host that it stands on.":                                1,
		`var x = "--wait and --detach exclude each other"`:              1,
		`var x = "the first one wins, else the target"`:                 1,
		`var x = "something else"`:                                      0,
		`var x = "taken\nfrom nothing"`:                                 1,
	} {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "x.go", "package x\n"+code+"\n", parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s: %v", code, err)
			continue
		}
		line := 0
		if found := badWords(fset, file); len(found) > 0 {
			line = found[0].line - 1
		}
		if line != want {
			t.Errorf("%s: found in line %d of the code, want %d (0: none)", code, line, want)
		}
	}
}
