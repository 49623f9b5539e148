package e2e_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/modules"
)

// TestImageOfAnotherUser: an image whose dev is not of uid 1000, with the blueprint as it comes: secrets are dev's, cold and from a pool.
func TestImageOfAnotherUser(t *testing.T) {
	needsEngine(t)
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "other")
	builtin, err := fs.Sub(modules.Builtin, "build")
	if err == nil {
		err = os.CopyFS(folder, builtin)
	}
	if err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(folder, "blueprint.yaml")
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	image := "bothy-e2e/user:" + strings.ToLower(filepath.Base(filepath.Dir(t.TempDir())))
	changed := strings.NewReplacer("name: build", "name: other", "image: bothy/build", "image: "+image).Replace(string(text))
	if err := os.WriteFile(manifest, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("docker", "build", "-q", "-t", image, "-")
	build.Stdin = strings.NewReader("FROM bothy/build\nUSER root\nRUN usermod -u 1500 dev && groupmod -g 1501 dev && chown -R dev:dev /home/dev /workspace\nUSER dev\n")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the image: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("docker", "rmi", image).CombinedOutput(); err != nil {
			t.Errorf("remove the image: %v\n%s", err, out)
		}
	})
	d := start(t, "--blueprints", folder)
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("sesame"), 0o600); err != nil {
		t.Fatal(err)
	}
	up := func(name string) result {
		return d.bothy("up", "--source", "none", "--blueprint", "other", "--name", name, "--secret", "token="+secret)
	}
	up("cold").want(t, 0)
	d.bothy("pool", "set", "p", "--blueprint", "other", "--size", "small", "--target", "1", "--max", "1").want(t, 0)
	d.untilWarm()
	up("claimed").want(t, 0, "warm")
	for _, name := range []string{"cold", "claimed"} {
		d.bothy("exec", name, "--", "sh", "-c", "id -u; id -g; cat /run/bothy/token").want(t, 0, "1500\n1501\nsesame")
	}
	d.bothy("pool", "rm", "p").want(t, 0)
	d.bothy("down", "--all", "--yes").want(t, 0)
}
