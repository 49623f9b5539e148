package blueprint

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/bothy-env/bothy/internal/fleet"
)

// CheckFiles checks files that lie nowhere.
func CheckFiles(files map[string]string) (fleet.Blueprint, error) {
	set := fileSet{}
	for name, text := range files {
		set[name] = []byte(text)
	}
	bp, refusal := check(set, false)
	if refusal != nil {
		return bp, refusal
	}
	return bp, nil
}

// lexed gives the tokens of a text.
func lexed(src string) hclsyntax.Tokens {
	tokens, _ := hclsyntax.LexConfig([]byte(src), "x.tf", hcl.InitialPos) // also of a wrong one
	return tokens
}

// CountedTokens gives the tokens of a text, and how many are counted before there are any.
func CountedTokens(src string) (tokens, counted int) {
	return len(lexed(src)), atMostTokens([]byte(src)) + 1
}

// DigestOf gives the digest of a folder's files, whatever they say.
func DigestOf(t interface {
	Helper()
	Fatal(args ...any)
}, dir string,
) string {
	t.Helper()
	files, err := read(dir, offered)
	if err != nil {
		t.Fatal(err)
	}
	return files.digest()
}
