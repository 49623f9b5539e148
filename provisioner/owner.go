package provisioner

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strconv"
	"time"
)

// Labels that every resource carries from its create call on. So a lost reply,
// a killed process or a lost state can always be found again.
const (
	LabelInstance    = "bothy.instance"
	LabelEnvironment = "bothy.environment"
	LabelGeneration  = "bothy.generation"
	LabelBlueprint   = "bothy.blueprint"
	LabelOwner       = "bothy.owner"
	LabelCreated     = "bothy.created"
	LabelMAC         = "bothy.mac"
)

// Labels that a resource carries when there is something to say: with them an environment whose row is lost is adopted as
// what it was. Resources of before they were thought of carry none.
const (
	LabelSize        = "bothy.size"
	LabelTenant      = "bothy.tenant"
	LabelTeam        = "bothy.team"
	LabelProject     = "bothy.project"
	LabelPullRequest = "bothy.pull-request"
	// LabelMark is on what a Marker keeps, and on nothing else.
	LabelMark = "bothy.mark"
)

var (
	// always are the labels that every resource carries, sometimes those that are left out when empty; in the MAC's order.
	always    = []string{LabelInstance, LabelEnvironment, LabelGeneration, LabelBlueprint, LabelOwner, LabelCreated}
	sometimes = []string{LabelSize, LabelTenant, LabelTeam, LabelProject, LabelPullRequest, LabelMark}
)

// Owner says whose a resource is.
type Owner struct {
	// Instance is the id of the bothy installation; two on one engine never touch each other's.
	Instance string
	// Environment is the environment's id; names of resources are made from both.
	Environment string
	// Generation is the create attempt, from 1.
	Generation int64
	// Blueprint is name@version.
	Blueprint string
	// User is who asked.
	User string
	// Created is when the attempt began.
	Created time.Time
	// Size is the name of one of the blueprint's; empty for what has none.
	Size string
	// Tenant and Team are those of the user, Project and PullRequest what it is for; empty for what is made for a pool.
	Tenant, Team, Project, PullRequest string
	// Mark is what a Marker keeps; empty for everything else.
	Mark string
}

// ResourceName is the name of an environment's resource at the provider:
// "bothy-<instance>-<environment>". Deterministic, so that what was created can be found by name as well.
func (o Owner) ResourceName() string {
	return "bothy-" + o.Instance + "-" + o.Environment
}

// Key authenticates labels, so that a foreign resource that forges them is never touched.
type Key []byte

// Labels returns the owner labels with their MAC. Of those that are not always carried, empty ones are left out.
func (k Key) Labels(o Owner) map[string]string {
	l := map[string]string{
		LabelInstance:    o.Instance,
		LabelEnvironment: o.Environment,
		LabelGeneration:  strconv.FormatInt(o.Generation, 10),
		LabelBlueprint:   o.Blueprint,
		LabelOwner:       o.User,
		LabelCreated:     o.Created.UTC().Format(time.RFC3339),
	}
	for name, value := range map[string]string{
		LabelSize: o.Size, LabelTenant: o.Tenant, LabelTeam: o.Team, LabelProject: o.Project, LabelPullRequest: o.PullRequest,
		LabelMark: o.Mark,
	} {
		if value != "" {
			l[name] = value
		}
	}
	l[LabelMAC] = k.mac(l)
	return l
}

// Verify reports whether labels were made by Labels with this key. With an
// empty key nothing verifies: its labels could be made by anybody.
func (k Key) Verify(labels map[string]string) bool {
	if len(k) == 0 {
		return false
	}
	want := k.mac(labels)
	return subtle.ConstantTimeCompare([]byte(want), []byte(labels[LabelMAC])) == 1
}

// mac covers every owner label, each with its length, so that no two sets share one. Those that may be left out
// have their names before them and add nothing when they are: what was made before there were any verifies for ever.
func (k Key) mac(l map[string]string) string {
	h := hmac.New(sha256.New, k)
	add := func(text string) { h.Write([]byte(strconv.Itoa(len(text)) + ":" + text + ";")) }
	for _, name := range always {
		add(l[name])
	}
	for _, name := range sometimes {
		if l[name] != "" {
			add(name)
			add(l[name])
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}
