//go:build !unix

package blueprint

// asItIs is unused here: the file is checked after opening.
const asItIs = 0
