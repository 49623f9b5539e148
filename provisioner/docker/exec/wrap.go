package exec

import (
	"crypto/rand"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/versions"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

const (
	// entering goes to folder $1 with the user's own rights: the engine would go there with root's. Then it tells
	// the command's process id on the first line of its output: Docker can start an exec but neither signal nor end
	// it. An exec is the leader of its own session, so the id is the group's and the session's too. The scripts use no
	// variable but OLDPWD: any other may be one of the command's own.
	entering = `cd -- "$1" 2>/dev/null || { echo "` + folderMark + `"; exit 126; }; shift; `
	telling  = `unset OLDPWD; echo "` + pidMark + `$$"; `
	// awaiting becomes the command on our word only. When the caller has left, or this process has ended, before the
	// engine came to start it, the word never comes and the command never begins.
	awaiting  = `read -r OLDPWD && [ "$OLDPWD" = ` + word + ` ] || exit 125; unset OLDPWD; `
	beginning = `exec "$@"`
	// viaEnv is for variables that a shell would drop or change: they are arguments of env, which becomes the command.
	viaEnv = `if [ -x /usr/bin/env ]; then set -- /usr/bin/env "$@"; elif [ -x /bin/env ]; then set -- /bin/env "$@"; ` +
		`else echo "` + envMark + `"; exit 126; fi; `
	// detaching runs the command in the background, in the session that the shell leads and leaves.
	detaching = `(umask 077; set -C; : >"$OLDPWD") 2>/dev/null || { echo "` + outputMark + `"; exit 126; }; ` +
		`( unset OLDPWD; (exec "$@"); echo "bothy: the command ended with code $?" ) </dev/null >>"$OLDPWD" 2>&1 & ` +
		`printf '{"process":%d,"output":"%s"}\n' "$$" "$OLDPWD"`
	pidMark    = "bothy-exec-pid "
	outputMark = "bothy-exec-no-output"
	folderMark = "bothy-exec-no-folder"
	envMark    = "bothy-exec-no-env"
	word       = "go"
	// sizesFrom is the first version of the engine's API that gives a terminal its size before the command begins.
	sizesFrom = "1.42"
)

// ownOfShells are identifiers that shells set or read for themselves before they become the command.
var ownOfShells = []string{
	"_", "BASHOPTS", "EUID", "IFS", "LINENO", "OLDPWD", "OPTIND", "PPID", "PWD", "RANDOM", "SECONDS", "SHELLOPTS", "SHLVL", "UID",
}

// checkExec refuses what cannot be a command, or would not arrive as it is: the engine's API is JSON, which has no way
// to say bytes that are not UTF-8.
func checkExec(req provisioner.ExecRequest) error {
	bad := func(format string, args ...any) error {
		return provisioner.Errorf(provisioner.Permanent, engine.OpExec, format, args...)
	}
	if req.Detach && req.TTY {
		return bad("a command that is detached has no terminal")
	}
	if len(req.Command) == 0 || req.Command[0] == "" {
		return bad("the command is empty")
	}
	if strings.HasPrefix(req.Command[0], "-") {
		return bad("the command %q begins with a dash; give a path", req.Command[0])
	}
	for i, s := range append([]string{req.User, req.Dir}, req.Command...) {
		if strings.ContainsRune(s, 0) {
			return bad("the command, its user or its directory contains a NUL byte")
		}
		if !utf8.ValidString(s) {
			return bad("%s contains bytes that are not UTF-8, which the engine does not accept: %q", placeOf(i), s)
		}
	}
	for i, kv := range req.Env {
		if name, _, ok := strings.Cut(kv, "="); !ok || name == "" || strings.ContainsRune(kv, 0) {
			return bad("variable %d is not NAME=value", i+1)
		}
		if !utf8.ValidString(kv) {
			return bad("variable %d contains bytes that are not UTF-8, which the engine does not accept", i+1)
		}
	}
	return nil
}

// placeOf names the parts of a request in the order in which checkExec looks at them.
func placeOf(i int) string {
	switch i {
	case 0:
		return "the user"
	case 1:
		return "the directory"
	case 2:
		return "the command"
	}
	return fmt.Sprintf("argument %d of the command", i-2)
}

// wrap makes what the engine is asked to run: /bin/sh with a script of ours, which becomes the command.
func (r *Runner) wrap(who identity, req provisioner.ExecRequest, stdin bool) (container.ExecOptions, error) {
	dir := req.Dir
	if !path.IsAbs(dir) {
		dir = path.Join(who.dir, dir)
	}
	plain, odd := splitEnv(req.Env)
	odd = below(odd, who.odd)
	opts := container.ExecOptions{Env: plain, Tty: req.TTY, AttachStdin: !req.TTY || stdin, AttachStdout: true, AttachStderr: true}
	script, argv := entering, []string{dir}
	if len(odd) > 0 {
		if strings.Contains(req.Command[0], "=") {
			name, _, _ := strings.Cut(odd[0], "=")
			return opts, provisioner.Errorf(provisioner.Permanent, engine.OpExec,
				"the command %q holds a \"=\", so the variable %q, which no shell passes on, cannot be given to it", req.Command[0], name)
		}
		script += viaEnv
		argv = append(append(argv, "--"), odd...)
	}
	switch {
	case !req.TTY:
		script += telling + awaiting
	case req.Size == (provisioner.Size{}):
		script += telling
	case versions.LessThan(r.engine.API.ClientVersion(), sizesFrom):
		script += fmt.Sprintf("stty rows %d cols %d 2>/dev/null; ", req.Size.Rows, req.Size.Cols) + telling
	default:
		opts.ConsoleSize = &[2]uint{uint(req.Size.Rows), uint(req.Size.Cols)}
		script += telling
	}
	begin := beginning
	if req.Detach {
		begin = "OLDPWD=" + provisioner.DetachedOutput + rand.Text()[:12] + ".log; " + detaching
	}
	opts.Cmd = append(append([]string{"/bin/sh", "-c", script + begin, "sh"}, argv...), req.Command...)
	return opts, nil
}

// splitEnv parts variables that pass through a shell as they are from odd ones. Of a name that is there twice the last counts.
func splitEnv(env []string) (plain, odd []string) {
	for i, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		switch {
		case !oddName(name):
			plain = append(plain, kv)
		case !has(env[i+1:], name):
			odd = append(odd, kv)
		}
	}
	return plain, odd
}

// oddName reports whether a shell drops, or may change, a variable of this name.
func oddName(name string) bool {
	for i, c := range []byte(name) {
		if c != '_' && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return true
		}
	}
	return slices.Contains(ownOfShells, name)
}

// has reports whether a variable is among those of env.
func has(env []string, name string) bool {
	return slices.ContainsFunc(env, func(kv string) bool {
		n, _, _ := strings.Cut(kv, "=")
		return n == name
	})
}

// below returns env with those of base before it that it does not set itself.
func below(env, base []string) []string {
	var all []string
	for _, kv := range base {
		if name, _, _ := strings.Cut(kv, "="); !has(env, name) {
			all = append(all, kv)
		}
	}
	return append(all, env...)
}
