// Package cgrouptest makes folders that look like control groups.
package cgrouptest

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// unified are the files of a sandbox's control group of version 2 as Documentation/admin-guide/cgroup-v2.rst has them, at the path of systemd's driver.
var unified = map[string]string{
	"cgroup.procs": "", "cgroup.freeze": "0\n", "cgroup.events": "populated 1\nfrozen 0\n",
	"memory.max": "1073741824\n", "memory.swap.max": "0\n", "memory.current": "314572800\n",
	"memory.stat":   "anon 201326592\nfile 104857600\nkernel 8388608\nshmem 10485760\ninactive_file 90000000\n",
	"memory.events": "low 0\nhigh 0\nmax 212\noom 3\noom_kill 2\noom_group_kill 0\n",
	"pids.max":      "512\n", "pids.current": "14\n", "pids.events": "max 0\n",
	"cpu.max": "150000 100000\n", "cpu.weight": "100\n", "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 0\n",
}

// Tree writes such files, some of them otherwise.
func Tree(t *testing.T, change map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	files := maps.Clone(unified)
	maps.Copy(files, change)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
