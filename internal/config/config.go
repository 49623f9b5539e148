// Package config makes bothyd's configuration: defaults, then a YAML file, then
// BOTHY_* variables, then flags, each over the one before, into one typed and
// validated struct that remembers where every value came from.
//
// A key's name is its path in the file (listen.tcp); its variable is BOTHY_ and
// the name in capitals with _ (BOTHY_LISTEN_TCP), its flag the name with dashes
// (--listen-tcp). A key that is not known is an error that names the nearest one.
package config

import (
	"net/netip"
	"path/filepath"
	"runtime"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// DefaultFile is read when it is there and no other file is named.
const DefaultFile = "/etc/bothy/bothyd.yaml"

// Drivers.
const (
	DriverTerraform = "terraform"
	DriverFake      = "fake"
)

// What to do where Terraform cannot be boxed wholly.
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

// Config is everything that bothyd can be told. Paths are absolute once loaded:
// those of a file are taken from its folder, others from the working directory.
type Config struct {
	// StateDir holds the database, Terraform's working files and secrets; one daemon at a time owns it.
	StateDir string `key:"state_dir" kind:"path" help:"folder of the database, Terraform's working files and secrets; one daemon owns it"`
	// Driver is DriverTerraform, or DriverFake, which makes nothing real.
	Driver string `key:"driver" oneof:"terraform fake" help:"what makes environments: terraform, or fake, which makes nothing real (for tests and benchmarks)"`
	// Listen is where the API is served.
	Listen Listen `key:"listen"`
	// Advertise is the address at which people reach the API, unix:///path or https://host:port: what another daemon of the
	// installation tells those who ask it for what only this one can do. "" only where nothing can be guessed.
	Advertise string `key:"advertise" help:"address at which people reach this daemon, unix:///path or https://host:port, told by the other daemons of a database for what only this one can do; default: that of listen.unix, else of listen.tcp"`
	// Database is where the records are: sqlite:///absolute/path, or postgres:// for many daemons.
	Database string `key:"database" help:"where the records are: sqlite:///absolute/path, or postgres://user@host/name, which many daemons may share; default: bothy.db in state_dir"`
	// Organisation, Pools and Hosts are files that the platform team keeps; "" for none.
	Organisation string `key:"organisation" kind:"path" help:"file of tenants, teams, members, roles and weights; empty: everybody is of one team"`
	Pools        string `key:"pools" kind:"path" help:"file of pools to keep warm, read at start and whenever it changes, by the one daemon of the database that plans: give all the same; empty: only those of bothy pool set"`
	Hosts        string `key:"hosts" kind:"path" help:"file of the engine hosts that this daemon can reach; empty: the one of engine.host, called local"`
	// Blueprints are folders to load besides the built-in ones.
	Blueprints []string `key:"blueprints" kind:"path" help:"folders of blueprints to offer besides the built-in ones; only root and bothyd's user may be able to write there"`
	// BlueprintOverrides are the names of built-in blueprints that those folders may replace.
	BlueprintOverrides []string `key:"blueprint_overrides" help:"names of built-in blueprints that a folder of blueprints may replace, such as build; empty: none"`
	// TrustedBlueprints are the digests of blueprints that may go beyond the bounds of a sandbox.
	TrustedBlueprints []string `key:"trusted_blueprints" help:"digests (sha256:...) of blueprints that may go beyond the bounds of a sandbox, such as with devices or folders of the host; each is root on the engine's machine; empty: none"`
	// Terraform is how Terraform is run.
	Terraform Terraform `key:"terraform"`
	// Engine is the Docker engine that sandboxes run on.
	Engine Engine `key:"engine"`
	// Network is how the sandboxes' networks are made.
	Network Network `key:"network"`
	// Sandbox is what every command in a sandbox is told of the network.
	Sandbox Sandbox `key:"sandbox"`
	// Concurrency is how many creates and destroys run at once.
	Concurrency int `key:"concurrency" min:"1" max:"256" help:"how many creates and destroys run at once; default: twice the cores, at least 10"`
	// MaxCopyMiB bounds one copy into an environment.
	MaxCopyMiB int `key:"max_copy_mib" min:"1" max:"1048576" help:"largest copy into an environment, up's source included, in MiB"`
	// MaxStreams bounds the streams that one caller may have open at once.
	MaxStreams int `key:"max_streams" min:"1" max:"65536" help:"most streams that one caller may have open at once: execs, shells, copies, followed logs and events, and those that wait for an environment; over TCP a caller is a token's name"`
	// Timing is how soon what went wrong is noticed.
	Timing Timing `key:"timing"`
	// Retention is how long records are kept.
	Retention Retention `key:"retention"`
	// Log is what is logged and how.
	Log Log `key:"log"`
	// ShutdownTimeout bounds how long running Terraform may take to finish after SIGTERM.
	ShutdownTimeout time.Duration `key:"shutdown_timeout" min:"1s" max:"1h" help:"how long running Terraform may take to finish after SIGTERM"`
}

// Listen is where the API is served: a unix socket, TCP with TLS and tokens, or both.
type Listen struct {
	// Unix is the socket's path; "" for none.
	Unix string `key:"unix" kind:"path" help:"path of the API's unix socket, which only its owner and listen.unix_group may use; empty for none"`
	// UnixGroup is a group of this machine whose members may use the socket; "" for its owner alone.
	UnixGroup string `key:"unix_group" help:"group of this machine whose members may use listen.unix, too, which is then of mode 0660; empty: its owner alone, 0600"`
	// TCP is host:port; "" for none.
	TCP string `key:"tcp" help:"host:port to serve the API at, always with TLS and tokens; empty for none"`
	// TLSCert and TLSKey are PEM files.
	TLSCert string `key:"tls_cert" kind:"path" help:"PEM file of the certificate for listen.tcp"`
	TLSKey  string `key:"tls_key" kind:"path" help:"PEM file of the certificate's key"`
	// TokenFile names who may use TCP, a token each.
	TokenFile string `key:"token_file" kind:"path" help:"file of the tokens that may use listen.tcp"`
	// AllowedHosts are further names that requests over TCP may be addressed to.
	AllowedHosts []string `key:"allowed_hosts" help:"further host names that requests over TCP may be addressed to"`
}

// Terraform is how Terraform is run.
type Terraform struct {
	// Binary is the path of terraform or tofu; "" looks for one.
	Binary string `key:"binary" kind:"path" help:"path of terraform or tofu; empty looks on PATH"`
	// CLIConfig is a Terraform CLI configuration file to use instead of one made from Mirror.
	CLIConfig string `key:"cli_config" kind:"path" help:"Terraform CLI configuration file to use instead of one made from terraform.mirror; it may name other sources of providers"`
	// Mirror is the filesystem mirror that providers come from.
	Mirror string `key:"mirror" kind:"path" help:"filesystem mirror that providers come from, and from nowhere else"`
	// Confinement is ConfinementPrefer, ConfinementEnforce or ConfinementOff.
	Confinement string `key:"confinement" oneof:"prefer enforce off" help:"prefer: run Terraform and its providers in the best box that this machine allows; enforce: in a whole box or not at all; off: in none"`
	// Warm keeps provider processes running between uses.
	Warm bool `key:"warm" help:"keep provider processes running between uses, so that creates and deletes take less time"`
	// Timeout is the longest that one Terraform command may take.
	Timeout time.Duration `key:"timeout" min:"10s" max:"6h" help:"the longest that one Terraform command may take"`
}

// Engine is the Docker engine that sandboxes run on.
type Engine struct {
	// Host is unix:///path or tcp://127.0.0.1:port.
	Host string `key:"host" help:"the Docker engine, unix:///path or tcp:// on loopback; default: DOCKER_HOST, else the usual socket"`
}

// Network is how the sandboxes' networks are made.
type Network struct {
	// Isolation is IsolationEnforce or IsolationOff.
	Isolation string `key:"isolation" oneof:"enforce off" help:"enforce: no environment without firewall rules around it; off: sandboxes reach what the host reaches"`
	// Pool is the IPv4 range that networks are cut from, a /28 each.
	Pool netip.Prefix `key:"pool" help:"private IPv4 range that sandboxes' networks are cut from, a /28 each"`
	// Allow are private ranges that sandboxes may reach all the same.
	Allow []netip.Prefix `key:"allow" help:"private IPv4 ranges that sandboxes may reach all the same, such as a package mirror's"`
	// Spare is how many networks are kept ready; 0 for none.
	Spare int `key:"spare" min:"0" max:"64" help:"how many networks are kept ready, so that isolation costs no time"`
}

// Timing is how soon what went wrong is noticed.
type Timing struct {
	// WorkLease is how long a daemon may be silent before another takes its hosts and work over.
	WorkLease time.Duration `key:"work_lease" min:"1s" max:"10m" help:"how long a daemon may be silent before another one takes its hosts and work over"`
	// Sweep is the time between two looks for what nobody remembers.
	Sweep time.Duration `key:"sweep" min:"1s" max:"10m" help:"time between two looks for resources that nobody remembers"`
	// Clock says where time goes on from at a start.
	Clock string `key:"clock" oneof:"elapsed machine" help:"where time goes on from at a start: elapsed: from the last plan by what has passed since, when the machine was not started anew meanwhile; machine: from the machine's (or the database's) clock as it is, for one start of all daemons of a database, to take over a clock that was set"`
	// OrphanGrace is how long such resources are only reported.
	OrphanGrace time.Duration `key:"orphan_grace" min:"1s" max:"24h" help:"how long resources that nobody remembers are only reported before they are removed"`
}

// Sandbox is what every command in a sandbox is told of the network: the variables that programs read. What a request or a command sets
// comes before it.
type Sandbox struct {
	// HTTPProxy and HTTPSProxy are URLs of proxies; "" for none.
	HTTPProxy  string `key:"http_proxy" help:"proxy for http in sandboxes, as HTTP_PROXY and http_proxy of every command; empty: none"`
	HTTPSProxy string `key:"https_proxy" help:"proxy for https in sandboxes, as HTTPS_PROXY and https_proxy of every command; empty: none"`
	// NoProxy are the hosts that are reached without.
	NoProxy []string `key:"no_proxy" help:"hosts, domains and ranges that sandboxes reach without the proxy, as NO_PROXY and no_proxy of every command; empty: none"`
	// CAFile is a PEM file of certificates of authorities that programs in sandboxes trust; "" for none.
	CAFile string `key:"ca_file" kind:"path" help:"PEM file of certificates of authorities that programs in sandboxes trust, such as that of a proxy that looks into https: delivered at hand-over, named to programs by SSL_CERT_FILE and the like; read again when it changes; empty: none"`
}

// Retention is how long records are kept; 0 keeps them for good.
type Retention struct {
	// Events is for the record of every decision, from each decision on.
	Events time.Duration `key:"events" min:"0s" max:"876000h" help:"how long events are kept; those of an environment that lives are kept as long as it; 0: for good"`
	// Logs is for environments' logs, from their end on.
	Logs time.Duration `key:"logs" min:"0s" max:"876000h" help:"how long the log of an environment is kept after its end, at most retention.environments; 0: as long as its row"`
	// Environments is for the rows of environments, from their end on.
	Environments time.Duration `key:"environments" min:"0s" max:"876000h" help:"how long an environment is listed after its end, and its idempotency key gives that environment; 0: for good"`
	// Entries is for the ledger.
	Entries time.Duration `key:"entries" min:"0s" max:"876000h" help:"how long cost entries are kept; their sums by day are kept for good; 0: for good"`
	// Receipts is for deletion receipts.
	Receipts time.Duration `key:"receipts" min:"0s" max:"876000h" help:"how long deletion receipts are kept; 0: for good"`
}

// leastRetention is the least that rows of environments and entries are kept: limits count by the month.
const leastRetention = 32 * days

// Log is what is logged and how.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `key:"level" oneof:"debug info warn error" help:"least level that is logged: debug, info, warn or error"`
	// Format is auto, text or json.
	Format string `key:"format" oneof:"auto text json" help:"auto (text on a terminal, else JSON), text or json"`
}

const days = 24 * time.Hour

// defaults gives every value that holds when nothing is said, for a user and an environment.
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

// stateDir is "" where nothing can be guessed, which validation reports.
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

// mirrorDir is where setup puts the providers that it builds.
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
