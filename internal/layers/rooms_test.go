package layers_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The limits of a room of the engine, of the use cases and of their wiring, so that a newcomer reads each in an hour.
const (
	mostRoomLines   = 3000 // of code
	mostWiringLines = 300  // of code, of internal/daemon
	mostFileLines   = 400  // with comments
	mostMethods     = 25   // of a type
	mostNeeds       = 5    // methods of an interface: a room says what it needs, not what others have
)

// size is the size of a package.
type size struct {
	lines, mostLines int
	// file is the length of the longest file.
	file int
	// methods are those of each type, needs those of each interface.
	methods, needs map[string]int
}

func TestRoomsAreSmall(t *testing.T) {
	root := filepath.Join(moduleRoot(t), "internal")
	found, err := os.ReadDir(filepath.Join(root, "engine"))
	if err != nil {
		t.Fatal(err)
	}
	limits := map[string]int{"service": mostRoomLines, "daemon": mostWiringLines}
	for _, f := range found {
		if !f.IsDir() {
			t.Errorf("internal/engine/%s is in no room", f.Name())
			continue
		}
		limits["engine/"+f.Name()] = mostRoomLines
	}
	for room, most := range limits {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(room), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		all := size{mostLines: most, methods: map[string]int{}, needs: map[string]int{}}
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
		if all.lines == 0 {
			t.Errorf("the room internal/%s has no code", room)
		}
		for _, over := range all.over() {
			t.Errorf("the room internal/%s: %s", room, over)
		}
	}
	if len(limits) < len(leaves) {
		t.Errorf("measured %d rooms, want at least the %d leaves", len(limits), len(leaves))
	}
}

// add measures a file.
func (s *size) add(text []byte) error {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "", text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	s.lines += linesOfCode(text)
	s.file = max(s.file, bytes.Count(text, []byte("\n")))
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
	if s.lines > s.mostLines {
		all = append(all, fmt.Sprintf("too many lines of code: %d, want at most %d", s.lines, s.mostLines))
	}
	if s.file > mostFileLines {
		all = append(all, "a file is too long")
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
		s := size{mostLines: mostRoomLines, methods: map[string]int{}, needs: map[string]int{}}
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
	lines := measure(strings.Repeat("func f() {}; func g() {}\n", mostFileLines-1))
	lines.mostLines = mostFileLines - 1
	file := measure(strings.Repeat("// f\n", mostFileLines))
	for want, s := range map[string]size{
		"too many methods: T": methods, "needs too much of others: I": needs, "too many lines of code: 400, want at most 399": lines, "a file is too long": file,
	} {
		if got := s.over(); !slices.Equal(got, []string{want}) {
			t.Errorf("over %q, want %q", got, want)
		}
	}
}
