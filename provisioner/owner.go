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
}

// ResourceName is the name of an environment's resource at the provider:
// "bothy-<instance>-<environment>". Deterministic, so that what was created can be found by name as well.
func (o Owner) ResourceName() string {
	return "bothy-" + o.Instance + "-" + o.Environment
}

// Key authenticates labels, so that a foreign resource that forges them is never touched.
type Key []byte

// Labels gives the owner labels with their MAC.
func (k Key) Labels(o Owner) map[string]string {
	l := map[string]string{
		LabelInstance:    o.Instance,
		LabelEnvironment: o.Environment,
		LabelGeneration:  strconv.FormatInt(o.Generation, 10),
		LabelBlueprint:   o.Blueprint,
		LabelOwner:       o.User,
		LabelCreated:     o.Created.UTC().Format(time.RFC3339),
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

// mac covers every owner label, each with its length, so that no two sets share one.
func (k Key) mac(l map[string]string) string {
	h := hmac.New(sha256.New, k)
	for _, name := range []string{LabelInstance, LabelEnvironment, LabelGeneration, LabelBlueprint, LabelOwner, LabelCreated} {
		h.Write([]byte(strconv.Itoa(len(l[name])) + ":" + l[name] + ";"))
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}
