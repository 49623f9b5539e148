// Package modules carries the blueprints that come with bothy inside the daemon's
// binary, so that an installed bothyd needs no checkout.
package modules

import "embed"

// Builtin holds one folder for each blueprint that comes with bothy.
//
//go:embed build/blueprint.yaml build/*.tf
var Builtin embed.FS
