package fleet

import "strings"

// ByID is the prefix that marks a reference to an environment as its id. No name has a colon.
const ByID = "id:"

// idLength is the length of an environment's id: 80 random bits, 5 per character.
const idLength = 16

// IsID reports whether a word has the form of an environment's id: 16 characters of a-z and 2-7. A name may not have this form.
func IsID(word string) bool {
	return len(word) == idLength && strings.IndexFunc(word, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '2' || r > '7')
	}) < 0
}

// Reference identifies an environment. Exactly one of ID, or Word with or without Tenant, is set.
type Reference struct {
	// ID is an id only: "id:ID".
	ID string
	// Word is an id or a name. An id always wins.
	Word string
	// Tenant is the tenant of the name, as in "TENANT/NAME"; empty for the caller's own.
	Tenant string
}

// ParseReference parses "id:ID", "TENANT/NAME", a name or an id. It accepts any text: a malformed reference is not found.
func ParseReference(text string) Reference {
	if id, ok := strings.CutPrefix(text, ByID); ok {
		return Reference{ID: id}
	}
	if tenant, name, ok := strings.Cut(text, "/"); ok {
		return Reference{Word: name, Tenant: tenant}
	}
	return Reference{Word: text}
}
