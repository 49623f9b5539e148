package broker

import "testing"

func TestTheSecretsMountIsTheTopmost(t *testing.T) {
	const root = "1 0 0:30 / / rw - overlay overlay rw\n"
	const good = "2 1 0:31 / /run/bothy rw,nosuid,nodev,noexec - tmpfs tmpfs rw,size=1024k,mode=700,uid=1000,gid=1000\n"
	for name, c := range map[string]struct {
		mounts string
		ok     bool
	}{
		"as it should be":  {root + good, true},
		"none":             {root, false},
		"a disk":           {root + "2 1 8:1 / /run/bothy rw,nosuid,nodev - ext4 /dev/sda1 rw,mode=700\n", false},
		"open":             {root + "2 1 0:31 / /run/bothy rw,nosuid,nodev - tmpfs tmpfs rw,mode=777\n", false},
		"set-id":           {root + "2 1 0:31 / /run/bothy rw,nodev - tmpfs tmpfs rw,mode=700\n", false},
		"something over":   {root + good + "3 2 8:1 / /run/bothy rw,nosuid,nodev - ext4 /dev/sda1 rw,mode=700\n", false},
		"something below":  {root + good + "3 2 8:1 / /run/bothy/x rw - ext4 /dev/sda1 rw\n", false},
		"something above":  {root + "2 1 8:1 / /run rw - ext4 /dev/sda1 rw\n" + good, false},
		"a like beginning": {root + good + "3 2 8:1 / /run/bothy2 rw - ext4 /dev/sda1 rw\n", true},
	} {
		if got := secretsMount([]byte(c.mounts)); (got == nil) != c.ok {
			t.Errorf("%s: %v", name, got)
		}
	}
}
