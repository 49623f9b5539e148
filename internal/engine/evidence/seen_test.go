package evidence

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/receipt"
	"github.com/bothy-env/bothy/provisioner"
)

// TestSeenBeforeIsReadBack: what the record of before told of a resource in a sentence is what the receipt lists.
func TestSeenBeforeIsReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := fleet.ResourceSeen{
			Kind: rapid.SampledFrom([]string{"container", "network", "volume"}).Draw(rt, "kind"),
			Name: rapid.StringMatching(`[a-zA-Z0-9_.-]{0,20}(, id [a-z]{1,3})?`).Draw(rt, "name"),
			ID:   rapid.StringMatching(`[a-zA-Z0-9_.-]{0,64}`).Draw(rt, "id"),
		}
		if rapid.Bool().Draw(rt, "told") {
			want.CreatedAt = providerTime(bookBase.Add(time.Duration(rapid.Int64Range(0, 1<<50).Draw(rt, "age"))))
		}
		if diff := cmp.Diff(seenResource(want), seenBefore(want.Text())); diff != "" {
			rt.Fatalf("%q is read as another (-want +got):\n%s", want.Text(), diff)
		}
	})
}

// TestSeenBeforeLosesNothing: a sentence that cannot be read is in the receipt as it is.
func TestSeenBeforeLosesNothing(t *testing.T) {
	for _, sentence := range []string{"", "container", "load-balancer web, id lb-7", "container a, id b, created yesterday", "container a, id b, created 2026"} {
		want := receipt.Resource{Kind: "unknown", Note: "as it was recorded: " + sentence}
		if diff := cmp.Diff(want, seenBefore(sentence)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", sentence, diff)
		}
	}
}

// TestWhateverAProviderTellsIsRecorded: a text of any length and any bytes fits, and is the same when it is seen again.
func TestWhateverAProviderTellsIsRecorded(t *testing.T) {
	for _, evil := range []string{strings.Repeat("\x00", 1<<20), strings.Repeat("é", 1<<20), strings.Repeat("\xff", 500), "a\xffb", strings.Repeat("\u2028", 200), "plain"} {
		f := provisioner.Found{Ref: provisioner.Ref{Kind: evil, ID: evil, Name: evil, CreatedAt: bookBase}}
		want := resourceSeen(f)
		data, err := fleet.WriteEventData(want)
		if err != nil {
			t.Errorf("%.20q: %v", evil, err)
			continue
		}
		got, err := fleet.ReadEventData[fleet.ResourceSeen](fleet.Event{Kind: fleet.EventResourceSeen, Data: data})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%.20q is read as another (-want +got):\n%s", evil, diff)
		}
	}
	if got := resourceSeen(provisioner.Found{Ref: provisioner.Ref{Name: "plain"}}).Name; got != "plain" {
		t.Errorf("a plain name is kept as %q", got)
	}
}
