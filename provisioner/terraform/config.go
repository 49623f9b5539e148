package terraform

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/bothy-env/bothy/provisioner/terraform/confine"
)

// DefaultProviders are the Docker provider's addresses: Terraform and OpenTofu read the same source as one of their own registry's.
var DefaultProviders = []string{"registry.opentofu.org/kreuzwerker/docker", "registry.terraform.io/kreuzwerker/docker"}

// Config says what the driver works with. Only WorkDir must be set.
type Config struct {
	// Binary is the path of terraform or tofu; "" takes the first that works of
	// terraform and tofu on PATH, then those in BinDir.
	Binary string
	// BinDir is where setup puts a tofu that it built; may be "".
	BinDir string
	// WorkDir is the driver's own folder, absolute. One driver at a time may use it.
	WorkDir string
	// Mirror is a filesystem mirror of providers; providers are taken from there and from nowhere else.
	Mirror string
	// Providers are the addresses (host/namespace/name) of those that blueprints may use; nil is
	// DefaultProviders. Only what the mirror holds of them is ever run.
	Providers []string
	// CLIConfig is a Terraform CLI configuration file to use instead of one made from Mirror. It may name other sources of
	// the Providers, so init then has the network, and what comes from elsewhere than Mirror is not compared with it.
	CLIConfig string
	// EngineHost is where blueprints find Docker; "" is unix:///var/run/docker.sock.
	EngineHost string
	// EngineSockets is the folder that brokers' sockets are in (see provisioner.Sandbox); "" when there are none.
	EngineSockets string
	// Confinement says what to do where Terraform cannot be boxed; "" is confine.Prefer.
	Confinement confine.Policy
	// Memory is the most, in bytes, that a Terraform with its providers, or a warm provider, may take; 0 is 1 GiB.
	Memory int64
	// CPU is the most processor time that each process of theirs may take; 0 is 2 minutes.
	CPU time.Duration
	// Timeout is the longest that one Terraform command may take; 0 is 10 minutes.
	Timeout time.Duration
	// Grace is how long a cancelled Terraform may take to end before it is killed; 0 is 60 s.
	Grace time.Duration
	// Warm keeps provider processes running between uses.
	Warm bool
	// WarmLimits bounds them; zero fields take the defaults.
	WarmLimits WarmLimits
	// Logger receives faults that the driver has dealt with; nil discards them.
	Logger *slog.Logger
}

// WarmLimits bounds the warm provider processes.
type WarmLimits struct {
	// Max is the most at once (10); further demand gets the plain start.
	Max int
	// Uses is after how many uses one is replaced (40), since they leak.
	Uses int
	// Idle is how long the last idle one is kept (3 min); others a sixth of it.
	Idle time.Duration
	// Start is how long one may take to come up (5 s).
	Start time.Duration
}

func (c Config) withDefaults() (Config, error) {
	if !filepath.IsAbs(c.WorkDir) {
		return c, fmt.Errorf("configure terraform driver: WorkDir %q is not an absolute path", c.WorkDir)
	}
	c.WorkDir = filepath.Clean(c.WorkDir)
	for _, path := range []*string{&c.Mirror, &c.BinDir, &c.CLIConfig} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return c, fmt.Errorf("configure terraform driver: %w", err)
		}
		*path = abs
	}
	orDefault(&c.EngineHost, "unix:///var/run/docker.sock")
	if c.Providers == nil {
		c.Providers = DefaultProviders
	}
	orDefault(&c.Confinement, confine.Prefer)
	orDefault(&c.Memory, defaultMemory)
	orDefault(&c.CPU, defaultCPU)
	orDefault(&c.Timeout, 10*time.Minute)
	orDefault(&c.Grace, time.Minute)
	orDefault(&c.WarmLimits.Max, 10)
	orDefault(&c.WarmLimits.Uses, 40)
	orDefault(&c.WarmLimits.Idle, 3*time.Minute)
	orDefault(&c.WarmLimits.Start, 5*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
