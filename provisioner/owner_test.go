package provisioner_test

import (
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/provisioner"
)

var key = provisioner.Key("a key for tests")

func owner() provisioner.Owner {
	return provisioner.Owner{
		Instance: "1a2b", Environment: "e7", Generation: 3, Blueprint: "build@1.0.0", User: "ada",
		Created: time.Date(2030, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)),
	}
}

func TestLabels(t *testing.T) {
	got := key.Labels(owner())
	if !key.Verify(got) {
		t.Error("its own labels do not verify")
	}
	if len(got[provisioner.LabelMAC]) != 32 {
		t.Errorf("the MAC is %q, want 32 hex digits", got[provisioner.LabelMAC])
	}
	delete(got, provisioner.LabelMAC)
	want := map[string]string{
		"bothy.instance": "1a2b", "bothy.environment": "e7", "bothy.generation": "3",
		"bothy.blueprint": "build@1.0.0", "bothy.owner": "ada", "bothy.created": "2030-01-02T02:04:05Z",
	}
	if !maps.Equal(got, want) {
		t.Errorf("labels %v, want %v", got, want)
	}
	if name := owner().ResourceName(); name != "bothy-1a2b-e7" {
		t.Errorf("resource name %q", name)
	}
}

// full is an owner of which everything is known.
func full() provisioner.Owner {
	o := owner()
	o.Size, o.Tenant, o.Team, o.Project, o.PullRequest = "medium", "acme", "core", "shop", "17"
	return o
}

func TestLabelsOfWhatIsKnown(t *testing.T) {
	got := key.Labels(full())
	if !key.Verify(got) {
		t.Error("its own labels do not verify")
	}
	want := key.Labels(owner())
	maps.Copy(want, map[string]string{
		"bothy.size": "medium", "bothy.tenant": "acme", "bothy.team": "core", "bothy.project": "shop", "bothy.pull-request": "17",
		provisioner.LabelMAC: got[provisioner.LabelMAC],
	})
	if !maps.Equal(got, want) {
		t.Errorf("labels %v, want %v", got, want)
	}
}

// TestLabelsOfBeforeVerify: what was made before there were labels of sizes and teams is still ours.
func TestLabelsOfBeforeVerify(t *testing.T) {
	before := map[string]string{
		"bothy.instance": "1a2b", "bothy.environment": "e7", "bothy.generation": "3",
		"bothy.blueprint": "build@1.0.0", "bothy.owner": "ada", "bothy.created": "2030-01-02T02:04:05Z",
		"bothy.mac": "22a7c2455368ac942b08bfe2b80af12d",
	}
	if !key.Verify(before) {
		t.Error("labels as they were made before do not verify")
	}
	for _, name := range []string{
		provisioner.LabelSize, provisioner.LabelTenant, provisioner.LabelTeam, provisioner.LabelProject, provisioner.LabelPullRequest,
	} {
		l := maps.Clone(before)
		l[name] = "x"
		if key.Verify(l) {
			t.Errorf("labels of before verify with a %s that somebody added", name)
		}
	}
}

func TestOtherLabelsDoNotMatter(t *testing.T) {
	l := key.Labels(owner())
	l["com.example.other"] = "x"
	if !key.Verify(l) {
		t.Error("a label that is not the owner's broke the MAC")
	}
}

func TestForgedLabels(t *testing.T) {
	for name, forge := range map[string]func(l map[string]string){
		"no MAC":                    func(l map[string]string) { delete(l, provisioner.LabelMAC) },
		"empty MAC":                 func(l map[string]string) { l[provisioner.LabelMAC] = "" },
		"half a MAC":                func(l map[string]string) { l[provisioner.LabelMAC] = l[provisioner.LabelMAC][:16] },
		"a MAC and more":            func(l map[string]string) { l[provisioner.LabelMAC] += "00" },
		"another key's MAC":         func(l map[string]string) { maps.Copy(l, provisioner.Key("another").Labels(owner())) },
		"another environment":       func(l map[string]string) { l[provisioner.LabelEnvironment] = "e8" },
		"another instance":          func(l map[string]string) { l[provisioner.LabelInstance] = "1a2c" },
		"another attempt":           func(l map[string]string) { l[provisioner.LabelGeneration] = "4" },
		"another blueprint":         func(l map[string]string) { l[provisioner.LabelBlueprint] = "build@1.0.1" },
		"another user":              func(l map[string]string) { l[provisioner.LabelOwner] = "bob" },
		"another time":              func(l map[string]string) { l[provisioner.LabelCreated] = "2030-01-02T02:04:06Z" },
		"a label missing":           func(l map[string]string) { delete(l, provisioner.LabelOwner) },
		"bytes moved to the next":   func(l map[string]string) { shift(l, provisioner.LabelInstance, provisioner.LabelEnvironment) },
		"bytes moved over a field":  func(l map[string]string) { shift(l, provisioner.LabelBlueprint, provisioner.LabelOwner) },
		"another size":              func(l map[string]string) { l[provisioner.LabelSize] = "large" },
		"another tenant":            func(l map[string]string) { l[provisioner.LabelTenant] = "other" },
		"another team":              func(l map[string]string) { l[provisioner.LabelTeam] = "other" },
		"another project":           func(l map[string]string) { l[provisioner.LabelProject] = "other" },
		"another pull request":      func(l map[string]string) { l[provisioner.LabelPullRequest] = "18" },
		"the size taken off":        func(l map[string]string) { delete(l, provisioner.LabelSize) },
		"the separators in a value": func(l map[string]string) { l[provisioner.LabelInstance] += ";2:e7" },
	} {
		t.Run(name, func(t *testing.T) {
			l := key.Labels(full())
			forge(l)
			if key.Verify(l) {
				t.Errorf("forged labels verify: %v", l)
			}
		})
	}
	if key.Verify(nil) || key.Verify(map[string]string{}) {
		t.Error("no labels verify")
	}
}

// TestLabelsHaveNamesInTheMAC: of two labels that may be left out, one is never taken for the other.
func TestLabelsHaveNamesInTheMAC(t *testing.T) {
	o := owner()
	o.Tenant = "acme"
	l := key.Labels(o)
	l[provisioner.LabelTeam] = l[provisioner.LabelTenant]
	delete(l, provisioner.LabelTenant)
	if key.Verify(l) {
		t.Error("labels verify with the tenant as the team")
	}
}

// shift moves the last byte of one label to the front of another, so that all of them joined stay the same.
func shift(l map[string]string, from, to string) {
	last := len(l[from]) - 1
	l[to] = l[from][last:] + l[to]
	l[from] = l[from][:last]
}

// No two different sets of labels share a MAC, however their bytes are cut into fields.
func TestMACTellsAllLabelsApart(t *testing.T) {
	text := rapid.StringOfN(rapid.SampledFrom([]rune("a1:;")), 0, 4, -1)
	draw := func(r *rapid.T, name string) provisioner.Owner {
		return provisioner.Owner{
			Instance: text.Draw(r, name+" instance"), Environment: text.Draw(r, name+" environment"),
			Generation: rapid.Int64Range(0, 2).Draw(r, name+" generation"),
			Blueprint:  text.Draw(r, name+" blueprint"), User: text.Draw(r, name+" user"),
			Size: text.Draw(r, name+" size"), Tenant: text.Draw(r, name+" tenant"), Team: text.Draw(r, name+" team"),
			Project: text.Draw(r, name+" project"), PullRequest: text.Draw(r, name+" pull request"),
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		a, b := draw(r, "a"), draw(r, "b")
		same := key.Labels(a)[provisioner.LabelMAC] == key.Labels(b)[provisioner.LabelMAC]
		if same != (a == b) {
			r.Errorf("same MAC: %v, for %+v and %+v", same, a, b)
		}
	})
}
