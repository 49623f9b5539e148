package env

import (
	"fmt"
	"strings"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// flux collects the files that changed during a copy. Only one goroutine may use it at a time.
type flux struct {
	first map[string][]string
	count map[string]int
}

// fluxKinds are the kinds of change, in the order in which they are shown.
var fluxKinds = []struct{ kind, before string }{
	{wire.CopyChanged, "changed during the copy: "},
	{wire.CopyShrank, "shrank during the copy, padded with zeros: "},
	{wire.CopyGone, "removed before the copy: "},
	{wire.CopySocket, "skipped sockets: "},
}

const maxFlux = 5

func (f *flux) add(kind, name string, times int) {
	if f.first == nil {
		f.first, f.count = map[string][]string{}, map[string]int{}
	}
	f.count[kind] += times
	if name != "" && len(f.first[kind]) < maxFlux {
		f.first[kind] = append(f.first[kind], name)
	}
}

// sent is a source.Report's Changed.
func (f *flux) sent(name string, padded int64) {
	kind := wire.CopyChanged
	switch {
	case padded < 0:
		kind = wire.CopyGone
	case padded > 0:
		kind = wire.CopyShrank
	}
	f.add(kind, name, 1)
}

// received adds the notes of a copy from an environment.
func (f *flux) received(notes []wire.CopyNote, count int) {
	for _, n := range notes {
		f.add(n.Kind, n.Path, 1)
	}
	if more := count - len(notes); more > 0 {
		f.add(wire.CopyChanged, "", more)
	}
}

// notes returns one sentence per kind.
func (f *flux) notes() []string {
	var all []string
	for _, k := range fluxKinds {
		if f.count[k.kind] == 0 {
			continue
		}
		more := ""
		if n := f.count[k.kind] - len(f.first[k.kind]); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		all = append(all, k.before+strings.Join(f.first[k.kind], ", ")+more)
	}
	return all
}
