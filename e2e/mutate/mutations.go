package main

import "slices"

// mutation is one removed safeguard, and the tests that must notice.
type mutation struct {
	// name describes what is removed.
	name string
	// old, found exactly once in file, becomes new.
	file, old, new string
	// pkg and run are the tests.
	pkg, run string
}

// mutations are all, by area: record.go, walls.go, ports.go and contracts.go.
var mutations = slices.Concat(ofRecord, ofWalls, ofPorts, ofContracts)
