// Package config loads bothyd's configuration: defaults, then a YAML file, then
// BOTHY_* variables, then flags, each overriding the previous one. The result is
// a typed and validated struct that records the source of every value.
//
// The name of a key is its path in the file (listen.tcp). Its variable is BOTHY_
// and the name in upper case with _ (BOTHY_LISTEN_TCP), its flag the name with
// dashes (--listen-tcp). An unknown key is an error that suggests the nearest key.
package config

import (
	"net/netip"
	"path/filepath"
	"runtime"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// DefaultFile is read if it exists and no other file is named.
const DefaultFile = "/etc/bothy/bothyd.yaml"

// Drivers.
const (
	DriverTerraform = "terraform"
	DriverFake      = "fake"
)

// Modes for a machine that cannot confine Terraform completely.
const (
	ConfinementPrefer  = "prefer"
	ConfinementEnforce = "enforce"
	ConfinementOff     = "off"
)

// Isolation modes of the sandboxes' networks.
const (
	IsolationEnforce = "enforce"
	IsolationOff     = "off"
)

// Config is the configuration of bothyd. Paths are absolute after loading:
// paths in a file are relative to its directory, others to the working directory.
type Config struct {
	// StateDir holds the database, Terraform's working files and secrets; one daemon at a time owns it.
	StateDir string `key:"state_dir" kind:"path" help:"Directory for the database, keys and Terraform's working files, owned by one daemon"`
	// Driver is DriverTerraform, or DriverFake, which creates nothing real.
	Driver string `key:"driver" oneof:"terraform fake" help:"Driver: terraform, or fake, which creates nothing (for tests and benchmarks)"`
	// Listen is where the API is served.
	Listen Listen `key:"listen"`
	// Advertise is the address at which users reach the API, unix:///path or https://host:port. Other daemons of the installation
	// name it for requests that only this daemon can serve. It is "" only if it cannot be derived.
	Advertise string `key:"advertise" help:"Address at which users reach this daemon, unix:///path or https://host:port, named by other daemons of the database (default: listen.unix, then listen.tcp)"`
	// Database is sqlite:///absolute/path, or postgres:// for many daemons.
	Database string `key:"database" help:"Database: sqlite:///absolute/path, or postgres://user@host/name, which many daemons can share (default: bothy.db in state_dir)"`
	// Organisation, Pools and Hosts are files of the platform team; "" for none.
	Organisation string `key:"organisation" kind:"path" help:"File of tenants, teams, members, roles and weights (default: all users are in one team)"`
	Pools        string `key:"pools" kind:"path" help:"File of pools, reloaded when it changes. Only the leader of the database reads it, so all daemons need the same file (default: only pools of bothy pool set)"`
	Hosts        string `key:"hosts" kind:"path" help:"File of the hosts that this daemon can reach (default: one host called local at engine.host)"`
	// Blueprints are directories to load in addition to the built-in blueprints.
	Blueprints []string `key:"blueprints" kind:"path" help:"Directories of additional blueprints, writable only for root and the user of bothyd"`
	// BlueprintOverrides are the names of built-in blueprints that those directories may replace.
	BlueprintOverrides []string `key:"blueprint_overrides" help:"Names of built-in blueprints that a directory in blueprints may replace, for example build (default: none)"`
	// TrustedBlueprints are the digests of blueprints that may exceed the limits of a sandbox.
	TrustedBlueprints []string `key:"trusted_blueprints" help:"Digests (sha256:...) of blueprints that may exceed the limits of a sandbox, for example use devices or host directories. Each is equivalent to root on the engine's machine (default: none)"`
	// Terraform is how Terraform is run.
	Terraform Terraform `key:"terraform"`
	// Engine is the Docker engine that sandboxes run on.
	Engine Engine `key:"engine"`
	// Network configures the networks of sandboxes.
	Network Network `key:"network"`
	// Sandbox configures the proxy variables of every command in a sandbox.
	Sandbox Sandbox `key:"sandbox"`
	// Concurrency is the maximum number of concurrent creates and destroys.
	Concurrency int `key:"concurrency" min:"1" max:"256" help:"Maximum number of concurrent creates and destroys (default: twice the number of CPUs, at least 10)"`
	// MaxCopyMiB limits one copy into an environment.
	MaxCopyMiB int `key:"max_copy_mib" min:"1" max:"1048576" help:"Maximum size of a copy into an environment, including the source of up, in MiB"`
	// MaxStreams limits the open streams of one caller.
	MaxStreams int `key:"max_streams" min:"1" max:"65536" help:"Maximum number of open streams per caller: execs, shells, copies, followed logs and events, and waits for an environment. Over TCP, a caller is the name of a token"`
	// Timing is how soon bothy detects failures.
	Timing Timing `key:"timing"`
	// Retention is how long bothy keeps records.
	Retention Retention `key:"retention"`
	// Log is the log level and format.
	Log Log `key:"log"`
	// ShutdownTimeout limits how long running Terraform may take after SIGTERM.
	ShutdownTimeout time.Duration `key:"shutdown_timeout" min:"1s" max:"1h" help:"Maximum time for running Terraform to finish after SIGTERM"`
}

// Listen is where the API is served: a unix socket, TCP with TLS and tokens, or both.
type Listen struct {
	// Unix is the socket's path; "" for none.
	Unix string `key:"unix" kind:"path" help:"Path of the API's unix socket, usable only by its owner and listen.unix_group (empty: no socket)"`
	// UnixGroup is a group of this machine whose members may use the socket; "" for only its owner.
	UnixGroup string `key:"unix_group" help:"Group of this machine whose members may use listen.unix, with mode 0660 (default: none, mode 0600)"`
	// TCP is host:port; "" for none.
	TCP string `key:"tcp" help:"Address host:port of the API over TCP, always with TLS and tokens (default: none)"`
	// TLSCert and TLSKey are PEM files.
	TLSCert string `key:"tls_cert" kind:"path" help:"PEM file with the certificate for listen.tcp"`
	TLSKey  string `key:"tls_key" kind:"path" help:"PEM file with the key of the certificate"`
	// TokenFile lists the users of TCP, one token each.
	TokenFile string `key:"token_file" kind:"path" help:"File with the tokens for listen.tcp"`
	// AllowedHosts are additional Host names of requests over TCP.
	AllowedHosts []string `key:"allowed_hosts" help:"Additional host names that requests over TCP may use"`
}

// Terraform is how Terraform is run.
type Terraform struct {
	// Binary is the path of terraform or tofu; "" searches PATH.
	Binary string `key:"binary" kind:"path" help:"Path of terraform or tofu (default: search PATH)"`
	// CLIConfig is a Terraform CLI configuration file to use instead of a generated one with Mirror.
	CLIConfig string `key:"cli_config" kind:"path" help:"Terraform CLI configuration file, which may name other provider sources (default: generated from terraform.mirror)"`
	// Mirror is the only filesystem mirror for providers.
	Mirror string `key:"mirror" kind:"path" help:"Filesystem mirror, the only source of providers"`
	// Confinement is ConfinementPrefer, ConfinementEnforce or ConfinementOff.
	Confinement string `key:"confinement" oneof:"prefer enforce off" help:"Confinement of Terraform and its providers: prefer (the best that this machine supports), enforce (complete or refuse to run) or off"`
	// Warm keeps provider processes running between uses.
	Warm bool `key:"warm" help:"Keep provider processes running between uses, which makes creates and deletes faster"`
	// Timeout limits one Terraform command.
	Timeout time.Duration `key:"timeout" min:"10s" max:"6h" help:"Timeout of one Terraform command"`
}

// Engine is the Docker engine that sandboxes run on.
type Engine struct {
	// Host is unix:///path or tcp://127.0.0.1:port.
	Host string `key:"host" help:"Docker engine, unix:///path or tcp:// on loopback (default: DOCKER_HOST, then unix:///var/run/docker.sock)"`
}

// Network configures the networks of sandboxes.
type Network struct {
	// Isolation is IsolationEnforce or IsolationOff.
	Isolation string `key:"isolation" oneof:"enforce off" help:"Network isolation: enforce (no environment without firewall rules) or off (sandboxes reach everything that the host reaches)"`
	// Pool is the IPv4 range for sandbox networks, a /28 each.
	Pool netip.Prefix `key:"pool" help:"Private IPv4 range for sandbox networks, a /28 each"`
	// Allow are private ranges that sandboxes may reach.
	Allow []netip.Prefix `key:"allow" help:"Private IPv4 ranges that sandboxes may reach, for example of a package mirror"`
	// Spare is the number of networks to keep ready; 0 for none.
	Spare int `key:"spare" min:"0" max:"64" help:"Number of networks to keep ready, so that isolation adds no time"`
}

// Timing is how soon bothy detects failures.
type Timing struct {
	// WorkLease is how long a daemon may be silent before another one takes over its hosts and work.
	WorkLease time.Duration `key:"work_lease" min:"1s" max:"10m" help:"Silence of a daemon after which another one takes over its hosts and work"`
	// Sweep is the interval of the search for orphans.
	Sweep time.Duration `key:"sweep" min:"1s" max:"10m" help:"Interval of the search for orphans"`
	// Clock selects the time at start.
	Clock string `key:"clock" oneof:"elapsed machine" help:"Time at start: elapsed (the last plan plus the time since, unless the machine was restarted) or machine (the clock of the machine or the database, for one start of all daemons after the clock was set)"`
	// OrphanGrace is the time between the first sight of an orphan and its deletion.
	OrphanGrace time.Duration `key:"orphan_grace" min:"1s" max:"24h" help:"Time between the first sight of an orphan and its deletion"`
}

// Sandbox holds the proxy variables of every command in a sandbox. Variables of a request or a command override them.
type Sandbox struct {
	// HTTPProxy and HTTPSProxy are URLs of proxies; "" for none.
	HTTPProxy  string `key:"http_proxy" help:"Proxy for http in sandboxes, set as HTTP_PROXY and http_proxy for every command (default: none)"`
	HTTPSProxy string `key:"https_proxy" help:"Proxy for https in sandboxes, set as HTTPS_PROXY and https_proxy for every command (default: none)"`
	// NoProxy are hosts to reach without the proxy.
	NoProxy []string `key:"no_proxy" help:"Hosts, domains and ranges that sandboxes reach without the proxy, set as NO_PROXY and no_proxy for every command (default: none)"`
	// CAFile is a PEM file of certificates of authorities that programs in sandboxes trust; "" for none.
	CAFile string `key:"ca_file" kind:"path" help:"PEM file of certificate authorities that programs in sandboxes trust, for example of a proxy that inspects https. bothy delivers it at hand-over, sets SSL_CERT_FILE and similar variables, and reads it again when it changes (default: none)"`
}

// Retention is how long bothy keeps records; 0 keeps them forever.
type Retention struct {
	// Events is for events, from their time.
	Events time.Duration `key:"events" min:"0s" max:"876000h" help:"Retention of events. bothy keeps the events of existing environments (0: forever)"`
	// Logs is for the logs of environments, from their deletion.
	Logs time.Duration `key:"logs" min:"0s" max:"876000h" help:"Retention of an environment's log after its deletion, at most retention.environments (0: as long as the environment is listed)"`
	// Environments is for the rows of environments, from their deletion.
	Environments time.Duration `key:"environments" min:"0s" max:"876000h" help:"Retention of an environment and its idempotency key after its deletion (0: forever)"`
	// Entries is for the ledger.
	Entries time.Duration `key:"entries" min:"0s" max:"876000h" help:"Retention of cost entries. bothy keeps daily sums forever (0: forever)"`
	// Receipts is for deletion receipts.
	Receipts time.Duration `key:"receipts" min:"0s" max:"876000h" help:"Retention of deletion receipts (0: forever)"`
}

// leastRetention is the minimum retention of environments and entries: monthly limits need them.
const leastRetention = 32 * days

// Log is the log level and format.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `key:"level" oneof:"debug info warn error" help:"Minimum log level: debug, info, warn or error"`
	// Format is auto, text or json.
	Format string `key:"format" oneof:"auto text json" help:"Log format: auto (text on a terminal, otherwise JSON), text or json"`
}

const days = 24 * time.Hour

// defaults returns the default configuration for a user and an environment.
func defaults(euid int, getenv func(string) string) Config {
	c := Config{
		Driver:   DriverTerraform,
		StateDir: stateDir(euid, getenv),
		Listen:   Listen{Unix: wire.DefaultSocket(euid, getenv)},
		Terraform: Terraform{
			Mirror:      mirrorDir(getenv),
			Confinement: ConfinementPrefer,
			Warm:        true,
			Timeout:     15 * time.Minute,
		},
		Engine:          Engine{Host: "unix:///var/run/docker.sock"},
		Network:         Network{Isolation: IsolationEnforce, Pool: netip.MustParsePrefix("172.30.0.0/16"), Spare: 10},
		Concurrency:     max(10, 2*runtime.NumCPU()),
		MaxCopyMiB:      2048,
		MaxStreams:      64,
		Timing:          Timing{WorkLease: 15 * time.Second, Sweep: 30 * time.Second, OrphanGrace: time.Minute, Clock: "elapsed"},
		Retention:       Retention{Events: 90 * days, Logs: 30 * days, Environments: 90 * days, Entries: 400 * days},
		Log:             Log{Level: "info", Format: "auto"},
		ShutdownTimeout: 90 * time.Second,
	}
	return c
}

// stateDir returns the default state directory; "" if there is none, which validation reports.
func stateDir(euid int, getenv func(string) string) string {
	if euid == 0 {
		return "/var/lib/bothy"
	}
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "bothy")
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local/state/bothy")
	}
	return ""
}

// mirrorDir returns the directory in which setup puts the providers that it builds.
func mirrorDir(getenv func(string) string) string {
	if dir := getenv("BOTHY_CACHE"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "mirror")
	}
	if dir := getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "bothy/mirror")
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".cache/bothy/mirror")
	}
	return ""
}
