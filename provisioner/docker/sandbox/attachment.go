package sandbox

import (
	"strings"

	"github.com/bothy-env/bothy/provisioner"
)

// JoinPrefix is what the engine calls joining a container's namespace in a network mode.
const JoinPrefix = "container:"

// SlotOf returns the slot of a reservation; a plain network's name, as earlier versions reserved it, is its own.
func SlotOf(reserved string) string { return strings.TrimPrefix(reserved, JoinPrefix) }

// AttachmentTo is what is reserved of a slot: a sandbox joins the namespace of its holder, which goes by the slot's name. It is the
// network mode that the engine is given, and what is written down of it lives as long as its environment: it cannot change.
func AttachmentTo(slot string) provisioner.Attachment {
	return provisioner.Attachment(JoinPrefix + slot)
}

// LabelSlot marks a network of the NetworkKeeper with its slot's number in the pool.
const LabelSlot = "bothy.slot"
