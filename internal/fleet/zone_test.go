package fleet_test

import (
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
)

// TestCheckZone: names as the IANA has them; the machine's own zone is none, as two daemons may differ in it.
func TestCheckZone(t *testing.T) {
	for _, good := range []string{"", "UTC", "Europe/Berlin", "America/St_Johns"} {
		if err := fleet.CheckZone(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"Local", "Berlin", "../../etc/passwd", "/etc/localtime", "Europe/Berlin\x00", "CEST+1"} {
		if err := fleet.CheckZone(bad); fleet.CodeOf(err) != fleet.CodeInvalid {
			t.Errorf("%q: %v, want it refused", bad, err)
		}
		if at := (fleet.ScheduledTarget{Zone: bad}).Location().String(); at != "UTC" {
			t.Errorf("%q is taken for %s", bad, at)
		}
	}
}
