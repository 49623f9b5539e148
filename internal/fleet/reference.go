package fleet

import "strings"

// ByID marks a reference to an environment as its id. No name holds a colon.
const ByID = "id:"

// idLength is the length of an environment's id: 80 random bits, 5 a character.
const idLength = 16

// IsID reports whether a word has the form of an environment's id: 16 of a-z and 2-7. A name may not have it.
func IsID(word string) bool {
	return len(word) == idLength && strings.IndexFunc(word, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '2' || r > '7')
	}) < 0
}

// Reference says which environment is meant. Exactly one of ID, and Word with or without Tenant, is set.
type Reference struct {
	// ID is an id and nothing else: "id:ID".
	ID string
	// Word is an id or a name. An id always wins.
	Word string
	// Tenant is whose environment the name is, as in "TENANT/NAME"; empty for the caller's own.
	Tenant string
}

// ParseReference reads "id:ID", "TENANT/NAME", a name or an id. It accepts any text: what names nothing is not found.
func ParseReference(text string) Reference {
	if id, ok := strings.CutPrefix(text, ByID); ok {
		return Reference{ID: id}
	}
	if tenant, name, ok := strings.Cut(text, "/"); ok {
		return Reference{Word: name, Tenant: tenant}
	}
	return Reference{Word: text}
}
