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
	Blueprints []string `key:"blueprints" kind:"path" help:"folders of blueprints to offer besides the built-in ones"`
	// Terraform is how Terraform is run.
	Terraform Terraform `key:"terraform"`
	// Engine is the Docker engine that sandboxes run on.
	Engine Engine `key:"engine"`
	// Network is how the sandboxes' networks are made.
	Network Network `key:"network"`
	// Concurrency is how many creates and destroys run at once.
	Concurrency int `key:"concurrency" min:"1" max:"256" help:"how many creates and destroys run at once; default: twice the cores, at least 10"`
	// Timing is how soon what went wrong is noticed.
	Timing Timing `key:"timing"`
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
	CLIConfig string `key:"cli_config" kind:"path" help:"Terraform CLI configuration file to use instead of one made from terraform.mirror"`
	// Mirror is a filesystem mirror of providers, used when it exists.
	Mirror string `key:"mirror" kind:"path" help:"filesystem mirror of providers, used when it exists"`
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
	// OrphanGrace is how long such resources are only reported.
	OrphanGrace time.Duration `key:"orphan_grace" min:"1s" max:"24h" help:"how long resources that nobody remembers are only reported before they are removed"`
}

// Log is what is logged and how.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `key:"level" oneof:"debug info warn error" help:"least level that is logged: debug, info, warn or error"`
	// Format is auto, text or json.
	Format string `key:"format" oneof:"auto text json" help:"auto (text on a terminal, else JSON), text or json"`
}

// defaults gives every value that holds when nothing is said, for a user and an environment.
func defaults(euid int, getenv func(string) string) Config {
	c := Config{
		Driver:   DriverTerraform,
		StateDir: stateDir(euid, getenv),
		Listen:   Listen{Unix: wire.DefaultSocket(euid, getenv)},
		Terraform: Terraform{
			Mirror:  mirrorDir(getenv),
			Warm:    true,
			Timeout: 15 * time.Minute,
		},
		Engine:          Engine{Host: "unix:///var/run/docker.sock"},
		Network:         Network{Isolation: IsolationEnforce, Pool: netip.MustParsePrefix("172.30.0.0/16"), Spare: 10},
		Concurrency:     max(10, 2*runtime.NumCPU()),
		Timing:          Timing{WorkLease: 15 * time.Second, Sweep: 30 * time.Second, OrphanGrace: time.Minute},
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
