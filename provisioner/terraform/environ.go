package terraform

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The marks that every process of a driver carries in its environment; see process_linux.go.
const (
	markDriver = "BOTHY_TERRAFORM_DRIVER"
	markRun    = "BOTHY_TERRAFORM_RUN"
)

// environment is all that a process of ours sees of the daemon's: nothing but
// this list. terraform-exec adds TF_IN_AUTOMATION and empty TF_LOG settings.
func (d *Driver) environment(run, home string) map[string]string {
	env := baseEnvironment(d.cfg.WorkDir, run, home, d.tmp)
	env["TF_CLI_CONFIG_FILE"] = d.cliConfigFile()
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

// downloadEnvironment is environment for init, which may have to fetch
// providers: the machine's proxy and certificates are let through.
func (d *Driver) downloadEnvironment(run, home string) map[string]string {
	env := d.environment(run, home)
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env[name] = value
		}
	}
	return env
}

func (d *Driver) cliConfigFile() string {
	if d.cfg.CLIConfig != "" {
		return d.cfg.CLIConfig
	}
	return filepath.Join(d.cfg.WorkDir, "terraform.rc")
}

// writeCLIConfig writes Terraform's configuration from what the mirror holds
// now. Each provider is named: a mirror without that makes Terraform ask the registry as well.
func (d *Driver) writeCLIConfig() error {
	if d.cfg.CLIConfig != "" {
		return nil
	}
	var b strings.Builder
	b.WriteString("# Made by bothy.\ndisable_checkpoint = true\n")
	providers := mirrored(d.cfg.Mirror)
	if len(providers) > 0 {
		list := strings.Join(providers, ", ")
		fmt.Fprintf(&b, "provider_installation {\n  filesystem_mirror {\n    path    = %s\n    include = [%s]\n  }\n  direct {\n    exclude = [%s]\n  }\n}\n",
			hclString(d.cfg.Mirror), list, list)
	}
	return replaceFile(d.cliConfigFile(), []byte(b.String()), 0o600)
}

// mirrored lists the providers in a mirror (host/namespace/name, quoted), sorted; none when there is no mirror.
func mirrored(mirror string) []string {
	if mirror == "" {
		return nil
	}
	var found []string
	for _, host := range dirsIn(mirror) {
		for _, namespace := range dirsIn(filepath.Join(mirror, host)) {
			for _, name := range dirsIn(filepath.Join(mirror, host, namespace)) {
				found = append(found, hclString(host+"/"+namespace+"/"+name))
			}
		}
	}
	slices.Sort(found)
	return found
}

func dirsIn(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && info.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

// hclString quotes for Terraform's configuration language.
func hclString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "${", "$${", "%{", "%%{").Replace(s) + `"`
}
