package engine

import "github.com/bothy-env/bothy/provisioner"

// CheckID refuses what is not a container's whole id: the engine takes names and unique beginnings too, by which one id
// can be made to mean another container. What is no id is found nowhere.
func CheckID(op, id string) error {
	if !IsID(id) {
		return provisioner.Errorf(provisioner.NotFound, op, "%.80q is not the id of a sandbox", id)
	}
	return nil
}

// IsID reports whether a text is 64 lower-case hex digits.
func IsID(id string) bool {
	if len(id) != 64 {
		return false
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
