package layers_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// reader is a function that may read sentences, with the reason. What bothy itself says is never on this list: it has a code, a cause or
// data. One entry covers one function, so that a second reader beside it is seen.
type reader struct{ function, why string }

var readers = []reader{
	{"cmd/bothyd/checks.go:foldersCheck", "lays out: doctor shows the first line of an error that has several"},
	{"e2e/bench/trace.go:add", "a measurement groups the steps of creates by their words, without ids; nothing acts on it"},
	{"e2e/demo/clean.go:complain", "lays out: each line of an error on a line of its own"},
	{"e2e/mutate/main.go:result", "lays out: the first line of what a compiler says"},
	{"internal/api/guard.go:reasonOf", "refuses what cannot be printed in a reason that a person gives"},
	{"internal/cli/system/doctor.go:checks", "lays out: each line of a check on a line of its own"},
	{"internal/engine/evidence/evidence.go:seenOf", "hands what was recorded before events had data (migration 17) to seenBefore"},
	{"internal/engine/evidence/seenbefore.go:seenBefore", "reads what was recorded before events had data (migration 17)"},
	{"internal/strictyaml/parse.go:syntax", "lays out: the first line of what the YAML parser says"},
	{"internal/store/dialect/fault.go:UniqueViolation", "SQLite names a broken index only in its text"},
	{"provisioner/docker/*", "the engine and the tools in a sandbox have no codes for what matters; no other room reads their words"},
	{"provisioner/terraform/*", "Terraform and its providers have no codes; what they say is classed here and nowhere else"},
}

// reads are the functions of strings, bytes and regexp that look into a text.
var (
	reads    = regexp.MustCompile(`^(Contains|ContainsAny|ContainsFunc|HasPrefix|HasSuffix|Cut|CutPrefix|CutSuffix|Index|IndexAny|LastIndex|Split|SplitN|SplitSeq|Fields|FieldsSeq|Lines|TrimPrefix|TrimSuffix|EqualFold|Count)$`)
	matches  = regexp.MustCompile(`^(Match|MatchString|Find|FindString|FindAllString|FindStringSubmatch|FindAllStringSubmatch|FindStringIndex|ReplaceAllString)$`)
	parses   = regexp.MustCompile(`^(parse|read|scan|decode)[A-Z]`)
	sentence = regexp.MustCompile(`^(Message|Sentence|Reason|Detail|Hint|LastError|Cold)$`)
	// named are names of a variable that say that it is one.
	named = regexp.MustCompile(`^(sentence|message|reason|hint|cause)$`)
)

// TestNobodyReadsASentence: sentences are for people. Code that decides by the words of one breaks when the words are made better, and
// whoever can make somebody say those words decides in its place.
func TestNobodyReadsASentence(t *testing.T) {
	used := map[string]bool{}
	root := moduleRoot(t)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "modules") {
				return filepath.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if rel = filepath.ToSlash(rel); !isProduct(rel) {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, f := range sentencesRead(fset, file) {
			if i := slices.IndexFunc(readers, func(r reader) bool { return r.covers(rel, f.function) }); i >= 0 {
				used[readers[i].function] = true
				continue
			}
			t.Errorf("%s:%d: %s reads a sentence (%s): give it a code, a cause or event data, or name it in readers with the reason", rel, f.line, f.function, f.call)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range readers {
		if !used[r.function] {
			t.Errorf("%s is on the list and reads nothing: take it off", r.function)
		}
	}
}

// isProduct leaves out tests and what only they use.
func isProduct(path string) bool {
	return strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") &&
		!slices.ContainsFunc([]string{"storetest", "provisionertest", "clitest", "blueprinttest", "pgtest", "rig", "fake"}, func(part string) bool {
			return slices.Contains(strings.Split(path, "/"), part)
		})
}

func (r reader) covers(path, function string) bool {
	if folder, all := strings.CutSuffix(r.function, "/*"); all {
		return strings.HasPrefix(path, folder+"/")
	}
	return r.function == path+":"+function
}

// finding is a call that looks into a sentence.
type finding struct {
	function, call string
	line           int
}

func sentencesRead(fset *token.FileSet, file *ast.File) []finding {
	var found []finding
	for _, d := range file.Decls {
		name := "package"
		if f, ok := d.(*ast.FuncDecl); ok {
			name = f.Name.Name
		}
		tainted := sentencesIn(d)
		ast.Inspect(d, func(n ast.Node) bool {
			var what string
			switch n := n.(type) {
			case *ast.CallExpr:
				if !looksInto(n) || !slices.ContainsFunc(n.Args, func(a ast.Expr) bool { return isSentence(a, tainted) }) {
					return true
				}
				what = callee(n)
			case *ast.BinaryExpr:
				if n.Op != token.EQL && n.Op != token.NEQ || !comparesWords(n.X, n.Y, tainted) && !comparesWords(n.Y, n.X, tainted) {
					return true
				}
				what = n.Op.String()
			default:
				return true
			}
			found = append(found, finding{name, what, fset.Position(n.Pos()).Line})
			return true
		})
	}
	return found
}

// sentencesIn are the variables of a declaration that a sentence is put into, also after it was made lower or cut.
func sentencesIn(d ast.Node) map[string]bool {
	tainted := map[string]bool{}
	for changed := true; changed; {
		changed = false
		note := func(left, right ast.Expr) {
			id, ok := left.(*ast.Ident)
			if ok && id.Name != "_" && !tainted[id.Name] && isSentence(right, tainted) {
				tainted[id.Name], changed = true, true
			}
		}
		ast.Inspect(d, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for i, left := range n.Lhs {
					note(left, n.Rhs[min(i, len(n.Rhs)-1)])
				}
			case *ast.RangeStmt:
				if n.Value != nil {
					note(n.Value, n.X)
				}
			}
			return true
		})
	}
	return tainted
}

// isSentence reports whether an expression is the text of an event, an error or a row, or made from one by package strings.
func isSentence(e ast.Expr, tainted map[string]bool) bool {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return isSentence(e.X, tainted)
	case *ast.Ident:
		return tainted[e.Name] || named.MatchString(e.Name)
	case *ast.SelectorExpr:
		return sentence.MatchString(e.Sel.Name)
	case *ast.IndexExpr:
		return isSentence(e.X, tainted)
	case *ast.BinaryExpr:
		return e.Op == token.ADD && (isSentence(e.X, tainted) || isSentence(e.Y, tainted))
	case *ast.CallExpr:
		if id, ok := e.Fun.(*ast.Ident); ok && id.Name == "string" && len(e.Args) == 1 {
			return isSentence(e.Args[0], tainted)
		}
		f, ok := e.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		if f.Sel.Name == "Error" && len(e.Args) == 0 || f.Sel.Name == "Sentence" {
			return true
		}
		x, ok := f.X.(*ast.Ident)
		return ok && (x.Name == "strings" || x.Name == "bytes") && slices.ContainsFunc(e.Args, func(a ast.Expr) bool { return isSentence(a, tainted) })
	}
	return false
}

// looksInto reports whether a call finds out something of a text.
func looksInto(c *ast.CallExpr) bool {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return parses.MatchString(f.Name) || f.Name == "seenBefore"
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok && (x.Name == "strings" || x.Name == "bytes") {
			return reads.MatchString(f.Sel.Name)
		}
		return matches.MatchString(f.Sel.Name) || parses.MatchString(f.Sel.Name)
	}
	return false
}

// comparesWords reports whether a sentence is compared with words that are written in the code.
func comparesWords(a, b ast.Expr, tainted map[string]bool) bool {
	words, ok := b.(*ast.BasicLit)
	return ok && words.Kind == token.STRING && len(words.Value) > 2 && isSentence(a, tainted)
}

func callee(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	gomod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatalf("find the module: %v", err)
	}
	return filepath.Dir(strings.TrimSpace(string(gomod)))
}

// The checker itself must see what it is for, and nothing else.
func TestAReaderOfSentencesIsSeen(t *testing.T) {
	for code, want := range map[string]bool{
		`strings.Contains(ev.Message, "gone")`:                                               true,
		`strings.HasPrefix(err.Error(), "no")`:                                               true,
		`strings.HasSuffix(e.Failure.Sentence, "x")`:                                         true,
		`strings.Cut(row.Reason, ":")`:                                                       true,
		`strings.Split(p.Detail, "; ")`:                                                      true,
		`pattern.FindStringSubmatch(ev.Message)`:                                             true,
		`regexp.MatchString("x", err.Error())`:                                               true,
		`bytes.Contains([]byte(x), y); strings.Index(strings.ToLower(err.Error()), "x")`:     true,
		`text := ev.Message; strings.Contains(text, "x")`:                                    true,
		`text := strings.TrimSpace(ev.Message); low := strings.ToLower(text); re.Find(low)`:  true,
		`for _, part := range strings.Split(x, y) { strings.HasPrefix(part, "x") }`:          false,
		`for _, part := range strings.Fields(e.Hint) { _ = part }`:                           true,
		`parseSeen(ev.Message)`:                                                              true,
		`if err.Error() == "cannot read" { return }`:                                         true,
		`if "cannot read" != err.Error() { return }`:                                         true,
		`if row.Reason != "" { return }`:                                                     false,
		`if row.Reason == other { return }`:                                                  false,
		`strings.Contains(provisioner.Sentence(err), "x")`:                                   true,
		`strings.Contains(sentence, "x")`:                                                    true,
		`unserved := func(cause string) bool { return strings.HasSuffix(cause, notServed) }`: true,
		`fmt.Println(ev.Message, err.Error())`:                                               false,
		`strings.Join([]string{ev.Message}, "; ")`:                                           false,
		`strings.Contains(ev.Kind, "x")`:                                                     false,
		`errors.Is(err, errGone)`:                                                            false,
		`text := ev.Kind; strings.Contains(text, "x")`:                                       false,
		`told := strings.ReplaceAll(ev.Message, "\n", " "); fmt.Println(told)`:               false,
		`if name, _, ok := strings.Cut(string(x.LastError), " "); ok { fmt.Println(name) }`:  true,
		`if first := "a" + err.Error(); strings.Contains(first, "b") { fmt.Println(first) }`: true,
	} {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "x.go", fmt.Sprintf("package x\nfunc f() {\n%s\n}", code), parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s: %v", code, err)
			continue
		}
		if got := sentencesRead(fset, file); (len(got) > 0) != want {
			t.Errorf("%s: found %v, want one: %t", code, got, want)
		}
	}
}
