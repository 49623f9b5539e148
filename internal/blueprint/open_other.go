//go:build !unix

package blueprint

// asItIs is nothing here: what was opened is looked at.
const asItIs = 0
