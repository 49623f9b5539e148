// Package accounts reads the users and groups of an image.
package accounts

import (
	"crypto/rand"
	"time"

	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// Reader reads images' users, each image once. It is safe for use by many goroutines.
type Reader struct {
	engine *engine.Client
	who    identities
	// place and process are described at Label.
	place, process string
	// LeftAfter is the age from which a container that reads users was left behind. Younger ones may be another process's.
	LeftAfter time.Duration
}

// New returns a Reader. place is a directory that only one process of this machine uses at a time; "" where there is none.
func New(e *engine.Client, place string) *Reader {
	r := &Reader{engine: e, process: rand.Text(), LeftAfter: 2 * time.Minute}
	if place != "" {
		r.place = folderPlace(place)
	}
	return r
}
