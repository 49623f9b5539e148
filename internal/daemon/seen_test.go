package daemon_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/receipt"
	"github.com/bothy-env/bothy/provisioner"
)

// seen writes an entry of the record that tells of a resource.
func (b *bench) seen(env fleet.Environment, sentence string, data fleet.EventData) {
	b.t.Helper()
	err := b.db.AppendEvents(b.t.Context(), fleet.Event{
		At: b.clock.Now(), EnvironmentID: env.ID, Tenant: env.Tenant, Kind: fleet.EventResourceSeen, Actor: "bothyd", Message: sentence, Data: data,
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// TestReceiptIsMadeOfData: what the receipt lists comes from data, whatever its kind is and whatever the sentence says.
func TestReceiptIsMadeOfData(t *testing.T) {
	b := setup(t, patient, slowSweeps).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	want := []receipt.Resource{
		{Kind: "load-balancer", ID: "lb, id 7", Name: "web 1", CreatedAt: new(b.clock.Now().Add(-time.Minute))},
		{Kind: "Pod", Name: "uid only in the cluster"},
	}
	for _, r := range want {
		data, err := fleet.WriteEventData(fleet.ResourceSeen{Kind: r.Kind, ID: r.ID, Name: r.Name, CreatedAt: r.CreatedAt})
		if err != nil {
			t.Fatal(err)
		}
		b.seen(env, "volume something else, id 0", data)
	}
	b.release(env.ID)
	got := b.proof(env.ID).Resources
	if diff := cmp.Diff(want, got[:min(len(want), len(got))]); diff != "" {
		t.Errorf("the receipt's first resources (-want +got):\n%s", diff)
	}
	for _, r := range got {
		if r.Name == "something else" {
			t.Errorf("the receipt lists %+v, which only a sentence tells of", r)
		}
	}
	told := 0
	for _, ev := range b.record() {
		if ev.Kind == fleet.EventResourceSeen {
			told++
			r, err := fleet.ReadEventData[fleet.ResourceSeen](ev)
			if err != nil {
				t.Errorf("what the engine records of a resource has no data: %v", err)
			} else if told > len(want) && ev.Message != r.Text() {
				t.Errorf("the sentence %q is not of the data %+v", ev.Message, r)
			}
		}
	}
	if told <= len(want) {
		t.Errorf("%d resources were recorded, want those of the engine too", told)
	}
}

// TestReceiptSpansTheMigration: an environment that was seen before events had data has all of it in its receipt, nothing twice, and
// what cannot be read as it was recorded.
func TestReceiptSpansTheMigration(t *testing.T) {
	needs(t, "records of before the migration", func(can provisioner.Capabilities) bool { return can.SandboxKind == "container" })
	b := setup(t, patient, slowSweeps).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.seen(env, "volume bothy-old-data, id vol-1, created 2026-05-06T07:00:00.5Z", "")
	b.seen(env, "load-balancer web, id lb-7", "")
	b.seen(env, "container bothy-sandbox, id "+env.SandboxID, "") // seen by both
	data, err := fleet.WriteEventData(fleet.ResourceSeen{Kind: "volume", ID: "vol-2"})
	if err != nil {
		t.Fatal(err)
	}
	b.seen(env, "", data)
	b.release(env.ID)
	want := []receipt.Resource{
		{Kind: "volume", ID: "vol-1", Name: "bothy-old-data", CreatedAt: new(time.Date(2026, 5, 6, 7, 0, 0, 5e8, time.UTC))},
		{Kind: "unknown", Note: "as it was recorded: load-balancer web, id lb-7"},
		{Kind: kindSandbox, ID: env.SandboxID, Name: "bothy-sandbox"},
		{Kind: "volume", ID: "vol-2"},
	}
	// The network's end is told of every environment that had one.
	notNetworks := cmpopts.IgnoreSliceElements(func(r receipt.Resource) bool { return r.Kind == "network" })
	if diff := cmp.Diff(want, b.proof(env.ID).Resources, notNetworks); diff != "" {
		t.Errorf("the receipt's resources (-want +got):\n%s", diff)
	}
}

// TestReceiptWaitsForWhatItCannotRead: data of a later version keeps no sandbox, but no receipt is made without it either, and the
// row says why.
func TestReceiptWaitsForWhatItCannotRead(t *testing.T) {
	b := setup(t, patient, slowSweeps).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.seen(env, "a volume of tomorrow", `{"v":2,"urn":"x"}`)
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	env = b.until(env.ID, "tried again", func(e fleet.Environment) bool { return e.Work.LastError != "" })
	if env.State != fleet.Destroying || !strings.Contains(env.Work.LastError, "version 2, this bothyd reads version 1") {
		t.Errorf("it is %s, and the last error %q does not say what cannot be read", env.State, env.Work.LastError)
	}
	if left := b.left(); len(left) != 0 {
		t.Errorf("%+v is kept for the sake of its record", left)
	}
	for _, ev := range b.record() {
		if ev.Kind == fleet.EventResourceSeen && strings.Contains(string(ev.Data), env.SandboxID) {
			return
		}
	}
	t.Error("the sandbox was removed, and no record tells of it")
}
