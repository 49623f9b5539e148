// Package terraform is a provisioner.Driver: it makes and
// removes environments by running terraform or tofu on a blueprint's module.
//
// Everything it writes is below Config.WorkDir:
//
//	templates/<digest>.json   which template holds a blueprint, made by which Terraform
//	templates/<digest>-*/     the module after init, read-only; never changed once named by the above
//	work/<environment>/       one environment's working directory: module, inputs, state
//	terraform.rc              Terraform's own configuration: where providers come from
//	tmp/                      sockets of providers; elsewhere when that path would be too long for one
//
// A working directory is made from its template without another init: its
// .terraform is a link. It lives from Create until the state is recorded elsewhere (Settled), and
// again while Destroy runs. The state in it is what the driver trusts beside the one it is handed, when
// both are of one lineage.
//
// Terraform and providers run in boxes of package confine: the module, their folder, the mirror and the sockets
// that they speak through, within bounds.
//
// Most of an apply's time is starting the provider and asking it for its
// schema, so the driver can keep provider processes warm (Config.Warm): they run in
// the provider's debug mode and Terraform reattaches to it. A process serves one Terraform at a
// time, and any fault of one falls back to the plain start.
//
// Every process started here carries two marks in its environment, the driver's
// WorkDir and the run it belongs to. What outlives its run, or the daemon, is
// found by these marks and ended; nothing else ever is.
package terraform
