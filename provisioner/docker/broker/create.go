package broker

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/volume"

	"github.com/bothy-env/bothy/provisioner"
)

const (
	// createTimeout is how long the engine has for a create. What has no answer by then is looked for by name.
	createTimeout = 2 * time.Minute
	// settleAfter is how long a create that lost its connection may still take effect. The engine reads what it was sent as soon
	// as it runs; this is the bound for one that is slow.
	settleAfter = 10 * time.Second
	// settleEvery is the time between two looks for it.
	settleEvery = time.Second
)

// createContainer judges a create, builds it anew and passes that on.
func (d *door) createContainer(ctx context.Context, w http.ResponseWriter, body io.Reader, name string) error {
	var asked container.CreateRequest
	if err := decode(body, &asked, "docker_container"); err != nil {
		return err
	}
	if err := d.mayMake("docker_container.name", name); err != nil {
		return err
	}
	built, taken, err := buildContainer(&d.grant.Spec, name, asked)
	if err != nil {
		return err
	}
	// What is mounted is not removed meanwhile: the engine would make another, without labels.
	d.mounting.RLock()
	defer d.mounting.RUnlock()
	if err := d.mounts(ctx, built.HostConfig); err != nil {
		return err
	}
	if err := d.add(ctx, name, &built); err != nil {
		return err
	}
	made, err := d.create(ctx, provisioner.Object{Kind: kindContainer, Name: name}, func(ctx context.Context) (string, any, error) {
		made, err := d.b.cfg.Engine.ContainerCreate(ctx, built.Config, built.HostConfig, built.NetworkingConfig, nil, name)
		return made.ID, made, err
	}, &taken)
	if err != nil {
		return err
	}
	return answer(w, http.StatusCreated, made)
}

// mounts refuses volumes that are not there with this environment's labels: the engine makes those that are missing, and
// nothing would find them again.
func (d *door) mounts(ctx context.Context, h *container.HostConfig) error {
	if d.grant.Spec.Blueprint.Trusted {
		return nil
	}
	named := map[string]string{}
	for _, bind := range h.Binds {
		name, _, _ := strings.Cut(bind, ":")
		named[name] = "docker_container.volumes.volume_name"
	}
	for _, m := range h.Mounts {
		named[m.Source] = "docker_container.mounts.source"
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		v, err := d.b.cfg.Engine.VolumeInspect(ctx, name)
		if unlessAbsent(err) != nil {
			return err
		}
		if err != nil || v.Name != name || !d.owns(v.Labels) {
			return &provisioner.Refusal{Attribute: named[name], Found: shorten(name), Want: "the name of a docker_volume of this blueprint"}
		}
	}
	return nil
}

// add sets what the provider cannot express, and so never reads back.
func (d *door) add(ctx context.Context, name string, built *container.CreateRequest) error {
	h := built.HostConfig
	pids := pidsOf(&d.grant.Spec, h.Memory)
	h.PidsLimit = &pids
	if !d.grant.Spec.Blueprint.Trusted {
		h.MaskedPaths = maskedPaths
	}
	more, err := d.additions(ctx, string(h.NetworkMode))
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.added[name] = more
	if options := h.Tmpfs[provisioner.SecretsDir]; options != "" && more.Secrets != "" {
		d.secrets[name] = options
		h.Tmpfs = maps.Clone(h.Tmpfs)
		h.Tmpfs[provisioner.SecretsDir] = ownedBy(options, more.Secrets)
	}
	d.mu.Unlock()
	h.CgroupParent = more.CgroupParent
	h.Binds, h.Mounts = slices.Concat(h.Binds, more.Binds), slices.Concat(h.Mounts, more.Mounts)
	return nil
}

// ownedBy gives options of a tmpfs with another owner.
func ownedBy(options, owner string) string {
	kept := slices.DeleteFunc(strings.Split(options, ","), func(o string) bool { return meansOf(o) == "uid" || meansOf(o) == "gid" })
	return strings.Join(append(kept, owner), ",")
}

// additions gives what a container on a network is made with beside what its blueprint says.
func (d *door) additions(ctx context.Context, network string) (Additions, error) {
	if d.b.cfg.Additions == nil {
		return Additions{}, nil
	}
	d.mu.Lock()
	ahead := d.ahead
	if network == string(d.grant.Spec.Sandbox.Network) {
		d.ahead = nil
	}
	d.mu.Unlock()
	if ahead != nil && network == string(d.grant.Spec.Sandbox.Network) {
		select {
		case got := <-ahead:
			if got.err == nil {
				return got.more, nil
			}
		case <-ctx.Done():
			return Additions{}, context.Cause(ctx)
		}
	}
	return d.b.cfg.Additions(ctx, &d.grant.Spec, network)
}

type foreseen struct {
	more Additions
	err  error
}

// foresee asks for what a create will need while Terraform is still starting. What fails is asked for again.
func (d *door) foresee() {
	if !d.grant.Create || d.b.cfg.Additions == nil {
		return
	}
	d.ahead = make(chan foreseen, 1)
	ahead := d.ahead
	go func() {
		more, err := d.b.cfg.Additions(d.ctx, &d.grant.Spec, string(d.grant.Spec.Sandbox.Network))
		ahead <- foreseen{more, err}
	}()
}

// giveBack returns what was asked for ahead and not taken.
func (d *door) giveBack() {
	d.mu.Lock()
	ahead := d.ahead
	d.ahead = nil
	d.mu.Unlock()
	if ahead == nil {
		return
	}
	if got := <-ahead; got.err == nil && d.b.cfg.Unused != nil {
		d.b.cfg.Unused(got.more)
	}
}

// addedTo gives what a container made through this door was given beside.
func (d *door) addedTo(name string) Additions {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.added[name]
}

// said is a container as its blueprint knows it: without what the broker added, and in the blueprint's own words. What the engine
// spells in another way would be a change in the next plan, for which the sandbox is made anew.
func (d *door) said(ctx context.Context, c container.InspectResponse) (container.InspectResponse, error) {
	h, base := *c.HostConfig, *c.ContainerJSONBase
	more := map[string]bool{}
	h.Binds = slices.DeleteFunc(slices.Clone(h.Binds), func(bind string) bool {
		at := placeOf(bind)
		more[at] = more[at] || !mountable(at)
		return !mountable(at)
	})
	h.Mounts = slices.DeleteFunc(slices.Clone(h.Mounts), func(m mount.Mount) bool {
		more[m.Target] = more[m.Target] || !mountable(m.Target)
		return !mountable(m.Target)
	})
	c.Mounts = slices.DeleteFunc(slices.Clone(c.Mounts), func(m container.MountPoint) bool { return more[m.Destination] })
	h.PidsLimit, h.CgroupParent, h.MaskedPaths = nil, "", nil
	d.mu.Lock()
	if options, ok := d.secrets[strings.TrimPrefix(c.Name, "/")]; ok {
		h.Tmpfs = maps.Clone(h.Tmpfs)
		h.Tmpfs[provisioner.SecretsDir] = options
	}
	d.mu.Unlock()
	h.CapAdd = slices.Clone(h.CapAdd)
	for i, name := range h.CapAdd {
		h.CapAdd[i] = strings.TrimPrefix(name, "CAP_")
	}
	if h.NetworkMode.IsContainer() {
		joined, err := d.joined(ctx)
		if err != nil {
			return c, err
		}
		if h.NetworkMode == joined {
			h.NetworkMode = container.NetworkMode(d.grant.Spec.Sandbox.Network)
		}
	}
	base.HostConfig = &h
	c.ContainerJSONBase = &base
	return c, nil
}

// placeOf is where a bind is mounted, "SOURCE:PLACE[:OPTIONS]".
func placeOf(bind string) string {
	_, rest, _ := strings.Cut(bind, ":")
	at, _, _ := strings.Cut(rest, ":")
	return at
}

// createVolume makes a volume of the environment's own.
func (d *door) createVolume(ctx context.Context, w http.ResponseWriter, body io.Reader) error {
	var asked volume.CreateOptions
	if err := decode(body, &asked, "docker_volume"); err != nil {
		return err
	}
	if err := d.mayMake("docker_volume.name", asked.Name); err != nil {
		return err
	}
	if asked.Name == d.grant.Spec.Owner.ResourceName() { // no container could mount it
		return &provisioner.Refusal{Attribute: "docker_volume.name", Found: asked.Name, Want: "a name that begins with var.bothy.name and a hyphen"}
	}
	built, err := buildVolume(&d.grant.Spec, asked)
	if err != nil {
		return err
	}
	// The engine's create of a volume that is there succeeds, and Terraform would take it for its own.
	if _, err := d.b.cfg.Engine.VolumeInspect(ctx, built.Name); err == nil {
		return &provisioner.Refusal{Attribute: "docker_volume.name", Found: shorten(built.Name), Want: "the name of no volume that exists"}
	} else if statusOf(err) != http.StatusNotFound {
		return err
	}
	made, err := d.create(ctx, provisioner.Object{Kind: kindVolume, Name: built.Name}, func(ctx context.Context) (string, any, error) {
		made, err := d.b.cfg.Engine.VolumeCreate(ctx, built)
		return made.Name, made, err
	}, &share{})
	if err != nil {
		return err
	}
	return answer(w, http.StatusCreated, made)
}

// mayMake refuses names that are not the environment's.
func (d *door) mayMake(attribute, name string) error {
	own := d.grant.Spec.Owner.ResourceName()
	switch {
	case !d.grant.Create:
		return &provisioner.Refusal{Attribute: attribute, Found: shorten(name), Want: "nothing is made while an environment is destroyed"}
	case name != own && !strings.HasPrefix(name, own+"-") || len(name) > 128:
		return &provisioner.Refusal{Attribute: attribute, Found: shorten(name), Want: "var.bothy.name, or a name that begins with it and a hyphen"}
	}
	return nil
}

// create records an object, has it made, and records the answer. The call to the engine does not end with the request or the
// door: an answer that nobody waits for any more still says what exists. taken is what it takes of the environment's size.
func (d *door) create(ctx context.Context, o provisioner.Object, do func(context.Context) (id string, made any, err error), taken *share) (any, error) {
	if err := d.claim(o, taken); err != nil {
		return nil, err
	}
	if err := d.grant.Intend(ctx, o); err != nil {
		d.settled(o, taken)
		return nil, err
	}
	if err := d.still(); err != nil {
		d.grant.Answered(o) // it was not passed on
		d.settled(o, taken)
		return nil, err
	}
	type outcome struct {
		made any
		err  error
	}
	done := make(chan outcome, 1)
	environment := d.grant.Spec.Owner.Environment
	d.creates.Add(1)
	d.b.count(environment, 1)
	go func() {
		defer d.creates.Done()
		defer d.b.count(environment, -1)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
		defer cancel()
		id, made, err := do(ctx)
		if err == nil {
			o.ID = id
		} else if unanswered(err) {
			done <- outcome{err: err} // the provider need not wait for what follows
			o.ID = d.settle(context.WithoutCancel(ctx), o)
		}
		d.settled(o, taken)
		select { // who closes the door waits for the record, the provider need not
		case done <- outcome{made, err}:
		default:
		}
		d.grant.Answered(o)
	}()
	select {
	case got := <-done:
		return got.made, got.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// claim counts what is about to be made against the environment's size and its number of things, which those have together that
// are there and those that are under way.
func (d *door) claim(o provisioner.Object, taken *share) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	size := d.grant.Spec.Sandbox
	memory, cpus := taken.memory, taken.cpus
	for _, other := range d.claimed {
		memory, cpus = memory+other.memory, cpus+other.cpus
	}
	switch {
	case len(d.claimed) >= maxObjects:
		return &provisioner.Refusal{Attribute: "docker_" + o.Kind + ".name", Found: shorten(o.Name), Want: "at most 16 containers and volumes in one environment"}
	case memory > size.MemoryMiB<<20:
		return &provisioner.Refusal{Attribute: "docker_container.memory", Found: mebibytes(memory) + " in all",
			Want: "at most var.bothy.memory_mib for all containers together"}
	case cpus > size.CPUs+1e-6:
		return &provisioner.Refusal{Attribute: "docker_container.cpu_quota", Found: cores(cpus) + " in all",
			Want: "at most var.bothy.cpus for all containers together"}
	}
	d.claimed = append(d.claimed, taken)
	return nil
}

// settled notes what became of a create. What made nothing takes nothing; what is not known yet is still counted.
func (d *door) settled(o provisioner.Object, taken *share) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if o.ID != "" {
		d.made = append(d.made, o)
		return
	}
	d.claimed = slices.DeleteFunc(d.claimed, func(s *share) bool { return s == taken })
}

// makes reports whether a create is under way.
func (d *door) makes() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.claimed) > len(d.made)
}

var errMaking = fmt.Errorf("bothy: something that may use it is being made: %w", errdefs.ErrConflict)

// settle finds out what became of a create that has no answer: the object's id, or "" when the engine answers and there is none,
// long enough after.
func (d *door) settle(ctx context.Context, o provisioner.Object) string {
	for since := time.Now(); ; {
		id, err := d.find(ctx, o)
		if id != "" {
			return id
		}
		if err == nil && time.Since(since) >= settleAfter {
			return ""
		}
		select {
		case <-time.After(settleEvery):
		case <-ctx.Done():
			return ""
		}
	}
}

// find looks for an object of this environment by name.
func (d *door) find(ctx context.Context, o provisioner.Object) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	labels := map[string]string{}
	switch o.Kind {
	case kindContainer:
		c, err := d.b.cfg.Engine.ContainerInspect(ctx, o.Name)
		if err != nil {
			return "", unlessAbsent(err)
		}
		id, labels = c.ID, c.Config.Labels
	case kindVolume:
		v, err := d.b.cfg.Engine.VolumeInspect(ctx, o.Name)
		if err != nil {
			return "", unlessAbsent(err)
		}
		id, labels = v.Name, v.Labels
	}
	if !d.owns(labels) {
		return "", nil
	}
	return id, nil
}

func unlessAbsent(err error) error {
	if statusOf(err) == http.StatusNotFound {
		return nil
	}
	return err
}

// volume looks at or removes a volume of the environment's own.
func (d *door) volume(ctx context.Context, w http.ResponseWriter, asked request) error {
	v, err := d.b.cfg.Engine.VolumeInspect(ctx, asked.name)
	if err != nil {
		return err
	}
	if v.Name != asked.name || !d.owns(v.Labels) {
		return notFound(kindVolume, asked.name)
	}
	if asked.call == callInspectVolume {
		return answer(w, http.StatusOK, v)
	}
	d.mounting.Lock()
	defer d.mounting.Unlock()
	if err := d.still(); err != nil {
		return err
	}
	if d.makes() { // one whose request has ended: it holds no lock
		return errMaking
	}
	if err := d.b.cfg.Engine.VolumeRemove(ctx, asked.name, true); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
