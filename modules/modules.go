// Package modules embeds the blueprints that come with bothy, so that an installed bothyd needs no checkout.
package modules

import "embed"

// Builtin has one directory for each blueprint that comes with bothy.
//
//go:embed build/blueprint.yaml build/*.tf
var Builtin embed.FS
