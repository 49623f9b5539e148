package terraform

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bothy-env/bothy/provisioner"
)

const (
	stateFile = "terraform.tfstate"
	// erroredFile is where Terraform leaves a state that it could not write to its place.
	erroredFile = "errored.tfstate"
	// lockInfoFile is left by a Terraform that was killed; the lock itself ends with its holder.
	lockInfoFile = ".terraform.tfstate.lock.info"
)

// state is a Terraform state, with what the driver reads of it.
type state struct {
	raw []byte

	Version   int    `json:"version"`
	Serial    int64  `json:"serial"`
	Lineage   string `json:"lineage"`
	Resources []struct {
		Mode      string `json:"mode"`
		Type      string `json:"type"`
		Instances []struct {
			Attributes json.RawMessage `json:"attributes"`
		} `json:"instances"`
	} `json:"resources"`
	Outputs map[string]struct {
		Value json.RawMessage `json:"value"`
	} `json:"outputs"`
}

// parseState reads a state and refuses what cannot be a whole one.
func parseState(raw []byte) (*state, error) {
	s := &state{raw: raw}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("parse state: %w", err)
	}
	if s.Version != 4 || s.Lineage == "" || s.Serial < 0 {
		return nil, fmt.Errorf("parse state: not a Terraform state of version 4 (version %d, lineage %q, serial %d)", s.Version, s.Lineage, s.Serial)
	}
	return s, nil
}

// resources counts what the state holds, deposed ones included, data sources not.
func (s *state) resources() int {
	if s == nil {
		return 0
	}
	n := 0
	for _, r := range s.Resources {
		if r.Mode == "managed" {
			n += len(r.Instances)
		}
	}
	return n
}

// refs names what resources counts. Terraform keeps no time of creation.
func (s *state) refs() []provisioner.Ref {
	var all []provisioner.Ref
	for _, r := range s.Resources {
		if r.Mode != "managed" {
			continue
		}
		// A type begins with its provider's name: what is left is the provider's own word, such as "container" or "pod".
		_, kind, _ := strings.Cut(r.Type, "_")
		for _, i := range r.Instances {
			var a struct{ ID, Name string }
			if err := json.Unmarshal(i.Attributes, &a); err != nil {
				a.ID, a.Name = "", "" // of another form: there is something, and it is found by its labels
			}
			all = append(all, provisioner.Ref{Kind: kind, ID: a.ID, Name: a.Name})
		}
	}
	return all
}

// sandboxID is the module's output "bothy".id.
func (s *state) sandboxID() (string, error) {
	var out struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(s.Outputs["bothy"].Value, &out); err != nil || out.ID == "" {
		return "", errors.New(`the blueprint has no output "bothy" with an id`)
	}
	return out.ID, nil
}

// stopped reports whether the provider, reading the container back, found it
// not running although the blueprint said that it must.
func (s *state) stopped(id string) bool {
	for _, r := range s.Resources {
		if r.Type != "docker_container" {
			continue
		}
		for _, i := range r.Instances {
			var a struct {
				ID      string `json:"id"`
				MustRun *bool  `json:"must_run"`
			}
			if json.Unmarshal(i.Attributes, &a) == nil && a.ID == id && a.MustRun != nil && !*a.MustRun {
				return true
			}
		}
	}
	return false
}

// chooseStates picks what to work from: the state that was handed in, or the
// working directory's when that is as new or newer. When they are of two
// lineages, each is of an attempt of its own, and both are given, the working
// directory's first. refused receives why a state is not used.
func chooseStates(given []byte, dir string, refused func(sentence string)) ([]*state, error) {
	found, err := foundState(dir, refused)
	if err != nil {
		return nil, err
	}
	if len(given) == 0 {
		return listOf(found), nil
	}
	recorded, err := parseState(given)
	switch {
	case err != nil:
		refused(fmt.Sprintf("the recorded state is not used: %v", err))
		return listOf(found), nil
	case found == nil:
		return listOf(recorded), nil
	case found.Lineage != recorded.Lineage:
		refused("the recorded state is of another lineage than the working directory's: both are used")
		return []*state{found, recorded}, nil
	case found.Serial < recorded.Serial:
		refused(fmt.Sprintf("the working directory's state is not used: serial %d is older than %d", found.Serial, recorded.Serial))
		return listOf(recorded), nil
	}
	return listOf(found), nil
}

func listOf(s *state) []*state {
	if s == nil {
		return nil
	}
	return []*state{s}
}

// foundState reads the working directory's state: what Terraform wrote, or a newer one of
// the same lineage that it could not write to its place. nil when there is none.
func foundState(dir string, refused func(sentence string)) (*state, error) {
	var best *state
	for _, name := range []string{stateFile, erroredFile} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, fmt.Errorf("read state: %w", err)
		case len(raw) == 0:
			continue // Terraform makes the file empty before it locks it
		}
		s, err := parseState(raw)
		switch {
		case err != nil:
			refused(fmt.Sprintf("%s of the working directory is not used: %v", name, err))
		case best != nil && s.Lineage != best.Lineage:
			refused(fmt.Sprintf("%s of the working directory is not used: it is of another lineage", name))
		case best != nil && s.Serial < best.Serial:
			refused(fmt.Sprintf("%s of the working directory is not used: serial %d is older than %d", name, s.Serial, best.Serial))
		default:
			best = s
		}
	}
	return best, nil
}
