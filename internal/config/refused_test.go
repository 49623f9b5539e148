package config_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/config"
)

// Whatever is wrong, the error names the key, where the value came from, and what is allowed or meant.
func TestRefused(t *testing.T) {
	secured := "listen:\n  tls_cert: /c\n  tls_key: /k\n  token_file: /t\n"
	for _, c := range []struct {
		name, text string
		env, args  []string
		want       []string
	}{
		{name: "an unknown key", text: "state_dri: /x\n", want: []string{"FILE:1", "state_dri", "did you mean state_dir?"}},
		{name: "an unknown key in a section", text: "log:\n  level: info\n  lvel: x\n", want: []string{"FILE:3", "log.lvel", "log.level"}},
		{name: "a key in the wrong section", text: "tcp: x\n", want: []string{"FILE:1", "tcp", "listen.tcp"}},
		{name: "capitals", text: "State_Dir: /x\n", want: []string{"State_Dir", "state_dir"}},
		{name: "a dotted key", text: "listen.tcp: x\n", want: []string{"FILE:1", "listen.tcp", "listen: tcp"}},
		{name: "an unknown section", text: "lissten:\n  tcp: x\n", want: []string{"FILE:1", "lissten"}},
		{name: "a section that is a value", text: "listen: here\n", want: []string{"FILE:1", "listen", "listen.unix"}},
		{name: "a merge key", text: "a: &x {level: info}\nlog:\n  <<: *x\n", want: []string{"FILE:1", "FILE:3", "<<"}},
		{name: "a list for a file", text: "- a\n- b\n", want: []string{"FILE:1", "state_dir"}},
		{name: "two documents", text: "driver: fake\n---\ndriver: fake\n", want: []string{"FILE", "2 YAML documents"}},
		{name: "a key twice", text: "driver: fake\ndriver: terraform\n", want: []string{"FILE", "driver"}},
		{name: "broken YAML", text: "driver: [\n", want: []string{"FILE"}},
		{name: "a huge file", text: strings.Repeat("# filler\n", 1<<17), want: []string{"FILE", "bytes"}},
		{name: "an unknown variable", env: []string{"BOTHY_STATEDIR=/x"}, want: []string{"BOTHY_STATEDIR", "environment", "did you mean BOTHY_STATE_DIR?"}},
		{name: "an unknown variable, far from all", env: []string{"BOTHY_XYZZY=/x"}, want: []string{"BOTHY_XYZZY", "unknown variable; known: BOTHY_STATE_DIR, BOTHY_DRIVER"}},
		{name: "an unknown key, far from all", text: "xyzzyplugh: 1\n", want: []string{"FILE:1", "unknown key; known: state_dir, driver, listen.unix, "}},
		{name: "an unknown key in a section, far from all", text: "log:\n  xyz: 1\n", want: []string{"FILE:2", "unknown key; known: log.level, log.format"}},
		{name: "a wrong type in the file", text: "concurrency: many\n", want: []string{"concurrency", "file FILE", `"many"`, "whole number"}},
		{name: "a text for a number in the file", text: "concurrency: \"3\"\n", want: []string{"concurrency", "whole number"}},
		{name: "a fraction", text: "concurrency: 3.5\n", want: []string{"concurrency", "3.5"}},
		{name: "a number for a text", text: "state_dir: 5\n", want: []string{"state_dir", "5 is not text"}},
		{name: "a text for a truth", text: "terraform:\n  warm: perhaps\n", want: []string{"terraform.warm", "true or false"}},
		{name: "a text for a list", text: "blueprints: /x\n", want: []string{"blueprints", "a list"}},
		{name: "a mapping in a list", text: "blueprints: [{a: b}]\n", want: []string{"blueprints", "not text"}},
		{name: "an empty value in a list", env: []string{"BOTHY_BLUEPRINTS=/a,,/b"}, want: []string{"blueprints", "BOTHY_BLUEPRINTS", "empty"}},
		{name: "a wrong variable", env: []string{"BOTHY_CONCURRENCY=x"}, want: []string{"concurrency", "environment BOTHY_CONCURRENCY", `"x"`}},
		{name: "a wrong flag", args: []string{"--concurrency=x"}, want: []string{"concurrency", "flag --concurrency", `"x"`}},
		{name: "too few at once", args: []string{"--concurrency=0"}, want: []string{"concurrency", "got 0, want 1 to 256"}},
		{name: "a duration without unit", text: "shutdown_timeout: 30\n", want: []string{"shutdown_timeout", "90s or 15m"}},
		{name: "a negative duration", args: []string{"--terraform-timeout=-1m"}, want: []string{"terraform.timeout", "got -1m, want 10s to 6h"}},
		{name: "rows kept for less than a month", args: []string{"--retention-environments=700h"}, want: []string{"retention.environments", "700h0m0s is too short", "768h"}},
		{name: "an unknown level", env: []string{"BOTHY_LOG_LEVEL=loud"}, want: []string{"log.level", `"loud"`, "debug, info, warn, error"}},
		{name: "an unknown driver", args: []string{"--driver=docker"}, want: []string{"driver", "terraform, fake"}},
		{name: "a range that is none", text: "network:\n  pool: 172.30.0.0\n", want: []string{"network.pool", "172.30.0.0/16"}},
		{name: "a range with bits after its mask", args: []string{"--network-pool=172.30.1.0/16"}, want: []string{"network.pool", "did you mean 172.30.0.0/16?"}},
		{name: "a range too small", args: []string{"--network-pool=172.30.0.0/29"}, want: []string{"network.pool", "/28"}},
		{name: "a public range", args: []string{"--network-pool=8.8.0.0/16"}, want: []string{"network.pool", "want a private range"}},
		{name: "an IPv6 range", args: []string{"--network-pool=fd00::/64"}, want: []string{"network.pool", "IPv4"}},
		{name: "a socket's path too long", args: []string{"--listen-unix=/" + strings.Repeat("x", 107)}, want: []string{"listen.unix", "108 bytes", "107"}},
		{name: "a proxy without a scheme", text: "sandbox:\n  http_proxy: proxy.example:3128\n", want: []string{"sandbox.http_proxy", "http://proxy.example:3128"}},
		{name: "a proxy with a path", args: []string{"--sandbox-https-proxy=http://proxy.example/x"}, want: []string{"sandbox.https_proxy", "want the address of a proxy"}},
		{name: "two hosts in one", text: "sandbox:\n  no_proxy: [\"a b\"]\n", want: []string{"sandbox.no_proxy", "a b"}},
		{name: "nowhere to listen", args: []string{"--listen-unix="}, want: []string{"listen.unix", "flag --listen-unix", "listen.tcp"}},
		{name: "a group without a socket", text: secured, args: []string{"--listen-unix=", "--listen-tcp=localhost:1", "--listen-unix-group=dev"}, want: []string{"listen.unix_group", "requires listen.unix"}},
		{name: "plain TCP for all", args: []string{"--listen-tcp=:8443"}, want: []string{"listen.tcp", "the network, in plain text", "listen.tls_cert, listen.tls_key, listen.token_file"}},
		{name: "plain TCP on loopback", args: []string{"--listen-tcp=127.0.0.1:8443"}, want: []string{"listen.tcp", "every user of this machine", "listen.tls_cert"}},
		{name: "TCP without tokens", args: []string{"--listen-tcp=localhost:1", "--listen-tls-cert=/c", "--listen-tls-key=/k"}, want: []string{"listen.tcp", "set listen.token_file too"}},
		{name: "TLS without TCP", text: secured, want: []string{"listen.tls_cert", "listen.token_file", "requires listen.tcp"}},
		{name: "no port", text: secured, args: []string{"--listen-tcp=localhost"}, want: []string{"listen.tcp", "host:port"}},
		{name: "a port too high", text: secured, args: []string{"--listen-tcp=localhost:65536"}, want: []string{"listen.tcp", "from 0 to 65535"}},
		{name: "a URL for a host name", text: secured + "  allowed_hosts: [\"https://x\"]\n", args: []string{"--listen-tcp=localhost:1"}, want: []string{"listen.allowed_hosts", "https://x"}},
		{name: "a relative database", args: []string{"--database=sqlite://bothy.db"}, want: []string{"database", "sqlite:///absolute/path"}},
		{name: "an address without a scheme", args: []string{"--advertise=rack-1:8443"}, want: []string{"advertise", "flag --advertise", "want unix:///path or https://host:port"}},
		{name: "an address in plain text", args: []string{"--advertise=http://rack-1:8443"}, want: []string{"advertise", "https://host:port"}},
		{name: "an address of a page", args: []string{"--advertise=https://rack-1/bothy"}, want: []string{"advertise", "https://host:port"}},
		{name: "an address with a password", args: []string{"--advertise=https://a:b@rack-1"}, want: []string{"advertise", "https://host:port"}},
		{name: "an address that a shell would read", args: []string{"--advertise=unix:///a b"}, want: []string{"advertise", "unix:///path"}},
		{name: "an address of no absolute path", args: []string{"--advertise=unix://run/b.sock"}, want: []string{"advertise", "unix:///path"}},
		{name: "an engine on the network", env: []string{"DOCKER_HOST=tcp://10.0.0.1:2375"}, want: []string{"engine.host", "environment DOCKER_HOST", "loopback"}},
		{name: "an engine by ssh", args: []string{"--engine-host=ssh://x"}, want: []string{"engine.host", "unix:///path"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, file, err := load(t, c.text, c.env, c.args...)
			if err == nil {
				t.Fatal("it was taken")
			}
			for _, want := range c.want {
				if want = strings.ReplaceAll(want, "FILE", file); !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q: %v", want, err)
				}
			}
		})
	}
}

func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	_, _, _, err := load(t, "nonsense: 1\nconcurrency: 0\n", []string{"BOTHY_LOG_LEVEL=loud", "BOTHY_NO_SUCH=1"}, "--driver=x")
	for _, want := range []string{"nonsense", "concurrency", "log.level", "BOTHY_NO_SUCH", "driver"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
}

func TestOthersVariablesAreNoMistake(t *testing.T) {
	env := []string{
		"BOTHY_HOST=unix:///x", "BOTHY_TOKEN=secret", "BOTHY_TOKEN_FILE=/x", "BOTHY_CA_FILE=/x", "BOTHY_OUTPUT=json",
		"BOTHY_CACHE=/x", "BOTHY_BIN=/x", "BOTHY_TEST_ANYTHING=1", "BOTHYOTHER=1", "OTHER=1",
	}
	if _, _, _, err := load(t, "", env); err != nil {
		t.Error(err)
	}
}

func TestNoHomeNoStateDir(t *testing.T) {
	_, _, err := config.LoadAs(nil, nil, empty(t), 1000)
	if err == nil || !strings.Contains(err.Error(), "state_dir") {
		t.Errorf("without HOME: %v; want an error that names state_dir", err)
	}
}

func TestAKeyWithoutValueSaysNothing(t *testing.T) {
	c, _, _, err := load(t, "# only a comment above\nlog:\nconcurrency:\nterraform:\n  warm:\n", nil)
	if err != nil || !c.Terraform.Warm || c.Concurrency < 4 || c.Log.Level != "info" {
		t.Errorf("%+v, %v; want the defaults", c, err)
	}
}

// Any text gets an answer, and what is accepted is valid.
func TestAnyFileGetsAnAnswer(t *testing.T) {
	file := empty(t)
	words := rapid.SampledFrom([]string{
		"listen", "tcp", "state_dir", "log", "level", "info", ":", ": ", "\n", "  ", "- ", "[", "]", "{", "}", "\"", "'", "&a", "*a", "<<", "|", ">", "#",
		"\t", "---", "null", "~", "1e9", "0x1", "true", "!!binary", "\x00", "ü", "?", ",", "%",
	})
	rapid.Check(t, func(r *rapid.T) {
		text := strings.Join(rapid.SliceOfN(words, 0, 30).Draw(r, "words"), "")
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o600)); err != nil {
			r.Fatal(err)
		}
		c, origins, err := config.LoadAs(nil, home, file, 1000)
		if err == nil && (c.StateDir == "" || len(c.Effective(origins)) == 0) {
			r.Errorf("accepted %q as %+v", text, c)
		}
	})
}

// A name whose section was left out, or mistyped, leads to the one that was meant.
func TestTheNearestNameIsNamed(t *testing.T) {
	for given, want := range map[string]string{
		"BOTHY_TLS_CERT": "BOTHY_LISTEN_TLS_CERT", "BOTHY_LISTEN_TLSCERT": "BOTHY_LISTEN_TLS_CERT",
		"BOTHY_LOGLEVEL": "BOTHY_LOG_LEVEL", "BOTHY_LEVEL": "BOTHY_LOG_LEVEL", "BOTHY_ISOLATION": "BOTHY_NETWORK_ISOLATION",
		"BOTHY_DATABSE": "BOTHY_DATABASE", "BOTHY_TERRAFORM_BINRAY": "BOTHY_TERRAFORM_BINARY",
	} {
		_, _, _, err := load(t, "", []string{given + "=x"})
		if err == nil || !strings.Contains(err.Error(), "did you mean "+want+"?") {
			t.Errorf("%s: %v, want %s", given, err, want)
		}
	}
	for given, want := range map[string]string{"tls_cert": "listen.tls_cert", "listen:\n  tls_crt": "listen.tls_cert", "level": "log.level"} {
		_, _, _, err := load(t, given+": x\n", nil)
		if err == nil || !strings.Contains(err.Error(), "did you mean "+want+"?") {
			t.Errorf("%s: %v, want %s", given, err, want)
		}
	}
}
