package terraform

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The marks that every process of a driver carries in its environment; see process_linux.go.
const (
	markDriver = "BOTHY_TERRAFORM_DRIVER"
	markRun    = "BOTHY_TERRAFORM_RUN"
)

// environment is all that a process of ours sees of the daemon's: nothing but this list.
func (d *Driver) environment(run, home, tmp string) map[string]string {
	env := baseEnvironment(d.cfg.WorkDir, run, home, tmp)
	env["TF_CLI_CONFIG_FILE"] = d.cliConfigFile()
	env["TF_IN_AUTOMATION"] = "1"
	env["CHECKPOINT_DISABLE"] = "1"
	// Terraform lives for under a second: collecting less often saves a tenth of it.
	env["GOGC"] = "400"
	return env
}

func baseEnvironment(workDir, run, home, tmp string) map[string]string {
	return map[string]string{
		"PATH":     "/usr/local/bin:/usr/bin:/bin",
		"HOME":     home,
		"TMPDIR":   tmp,
		markDriver: workDir,
		markRun:    run,
	}
}

// downloads lets the machine's proxy and certificates through to an init that has the network (see Config.CLIConfig).
func downloads(env map[string]string) {
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env[name] = value
		}
	}
}

func (d *Driver) cliConfigFile() string {
	if d.cfg.CLIConfig != "" {
		return d.cfg.CLIConfig
	}
	return filepath.Join(d.cfg.WorkDir, "terraform.rc")
}

// writeCLIConfig writes Terraform's configuration: the providers that blueprints may use come from the mirror. No source is named
// for any other, nor is the registry, so a blueprint that asks for one gets an error and makes nobody fetch anything.
func (d *Driver) writeCLIConfig() error {
	if d.cfg.CLIConfig != "" {
		return nil
	}
	quoted := make([]string, len(d.cfg.Providers))
	for i, address := range d.cfg.Providers {
		quoted[i] = hclString(address)
	}
	text := fmt.Sprintf("# Made by bothy.\ndisable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path    = %s\n    include = [%s]\n  }\n}\n",
		hclString(cmp.Or(d.cfg.Mirror, "/nonexistent")), strings.Join(quoted, ", "))
	return replaceFile(d.cliConfigFile(), []byte(text), 0o600)
}

// hclString quotes for Terraform's configuration language.
func hclString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "${", "$${", "%{", "%%{").Replace(s) + `"`
}
