package layers_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The most that a room may be, so that a newcomer reads it in an hour.
const (
	mostRoomLines   = 3000 // of code
	mostWiringLines = 300  // of code, of internal/daemon
	mostFileLines   = 400  // of a file, comments and blank lines included
	mostMethods     = 25   // of a type
	mostNeeds       = 5    // methods of an interface: a room says what it needs, not what others have
)

// size is what of a package is measured.
type size struct {
	lines int
	// longest are the lines of the longest file.
	longest int
	// methods are those of each type, needs those of each interface.
	methods, needs map[string]int
}

func TestRoomsAreSmall(t *testing.T) {
	root := moduleRoot(t)
	wiring := filepath.Join(root, "internal", "daemon")
	folders := []string{wiring, filepath.Join(root, "internal", "service")}
	entries, err := os.ReadDir(filepath.Join(root, "internal", "engine"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			t.Errorf("internal/engine/%s is in no room", e.Name())
		}
		folders = append(folders, filepath.Join(root, "internal", "engine", e.Name()))
	}
	err = filepath.WalkDir(filepath.Join(root, "provisioner", "docker"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "testdata" {
			return filepath.SkipDir
		}
		folders = append(folders, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	measured := 0
	for _, folder := range folders {
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			continue
		}
		name, err := filepath.Rel(root, folder)
		if err != nil {
			t.Fatal(err)
		}
		all := sizeOf(t, folder)
		if all.lines > mostWiringLines && folder == wiring {
			t.Errorf("%s: %d lines of code, want at most %d", name, all.lines, mostWiringLines)
		}
		measured++
		most := 0
		for _, n := range all.methods {
			most = max(most, n)
		}
		t.Logf("%s: %d lines of code, longest file %d lines, most methods %d", name, all.lines, all.longest, most)
		for _, over := range all.over() {
			t.Errorf("%s: %s", name, over)
		}
	}
	if want := len(leaves) + len(dockerLeaves); measured < want {
		t.Errorf("measured %d rooms, want at least the %d leaves", measured, want)
	}
}

// sizeOf measures the package in a directory without its tests.
func sizeOf(t *testing.T, dir string) size {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	all := size{methods: map[string]int{}, needs: map[string]int{}}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := all.add(text); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return all
}

// add measures a file.
func (s *size) add(text []byte) error {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "", text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	s.lines += linesOfCode(text)
	s.longest = max(s.longest, bytes.Count(text, []byte("\n")))
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv != nil {
				s.methods[nameOfType(d.Recv.List[0].Type)]++
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if t, ok := spec.(*ast.TypeSpec); ok {
					if i, ok := t.Type.(*ast.InterfaceType); ok {
						s.needs[t.Name.Name] = i.Methods.NumFields()
					}
				}
			}
		}
	}
	return nil
}

// over tells what is too large, in order.
func (s *size) over() []string {
	var all []string
	if s.lines > mostRoomLines {
		all = append(all, "too many lines of code")
	}
	if s.longest > mostFileLines {
		all = append(all, "a file has too many lines")
	}
	for name, n := range s.methods {
		if n > mostMethods {
			all = append(all, "too many methods: "+name)
		}
	}
	for name, n := range s.needs {
		if n > mostNeeds {
			all = append(all, "needs too much of others: "+name)
		}
	}
	slices.Sort(all)
	return all
}

// linesOfCode counts the lines that something other than a comment begins on.
func linesOfCode(text []byte) int {
	set := token.NewFileSet()
	file := set.AddFile("", set.Base(), len(text))
	var s scanner.Scanner
	s.Init(file, text, nil, 0)
	lines := map[int]bool{}
	for {
		pos, tok, literal := s.Scan()
		if tok == token.EOF {
			return len(lines)
		}
		if tok == token.SEMICOLON && literal == "\n" {
			continue // the scanner's own
		}
		first := set.Position(pos).Line
		for l := range 1 + strings.Count(literal, "\n") {
			lines[first+l] = true
		}
	}
}

func nameOfType(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return nameOfType(e.X)
	case *ast.IndexExpr:
		return nameOfType(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// The measure itself must see what it is for.
func TestALargeRoomIsSeen(t *testing.T) {
	measure := func(text string) size {
		t.Helper()
		s := size{methods: map[string]int{}, needs: map[string]int{}}
		if err := s.add([]byte("package x\n" + text)); err != nil {
			t.Fatal(err)
		}
		return s
	}
	few := "// T is\n// two lines.\ntype T[P any] struct{}\n\nfunc (t *T[P]) a() {\n\treturn `\n`\n}\nfunc (T[P]) b() {}\n"
	if s := measure(few); s.lines != 7 || s.methods["T"] != 2 || len(s.over()) > 0 {
		t.Errorf("measured %+v, over %q; want 7 lines and 2 methods", s, s.over())
	}
	methods := measure("type T struct{}\n" + string(bytes.Repeat([]byte("func (t *T) m() {}\n"), mostMethods+1)))
	needs := measure("type I interface{ a(); b(); c(); d(); e(); f() }")
	lines := size{}
	for range mostRoomLines/mostFileLines + 1 {
		if err := lines.add([]byte("package x\n" + string(bytes.Repeat([]byte("func f() {}\n"), mostFileLines-1)))); err != nil {
			t.Fatal(err)
		}
	}
	long := measure(string(bytes.Repeat([]byte("// A comment.\n"), mostFileLines)))
	for want, s := range map[string]size{
		"too many methods: T": methods, "needs too much of others: I": needs, "too many lines of code": lines, "a file has too many lines": long,
	} {
		if got := s.over(); !slices.Equal(got, []string{want}) {
			t.Errorf("over %q, want %q", got, want)
		}
	}
}
