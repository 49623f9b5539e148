package provisionertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
)

var stageObligations = []inside{
	{"declared or absent", testStageDeclared},
	{"one use, and no other", staging(testClaim)}, // before any other uses the folder
	{"files come as they were sent", staging(testDeliver)},
	{"the most that may be delivered", staging(testDeliverMost)},
	{"no files prove that it answers", staging(testDeliverNothing)},
	{"a way is for one use", staging(testDeliverTwice)},
	{"what is there is replaced", staging(testDeliverAgain)},
	{"what cannot be delivered is refused", staging(testDeliverRefused)},
	{"all or none", staging(testDeliverNone)},
	{"closed unused nothing is left inside", staging(testStageClosed)},
	{"it outlives the context it was opened with", staging(testStageOutlives)},
	{"a context that has ended", staging(testStageCancelled)},
	{"many at once", staging(testStageMany)},
	{"a user that is not there", staging(testStageUser)},
	{"pause and unpause do no harm", staging(testDeliverThawed)},
	{"a paused sandbox", staging(testStagePaused)},
}

// staged is an environment whose runtime is a Stager.
type staged struct {
	*environment
	provisioner.Stager
}

func testStageDeclared(t *testing.T, e *environment) {
	_, is := provisioner.Can[provisioner.Stager](e.h.Runtime)
	if is != e.h.Capabilities.Stage {
		t.Errorf("the runtime is a Stager: %v; declared: %v", is, e.h.Capabilities.Stage)
	}
}

func staging(test func(t *testing.T, s staged)) func(t *testing.T, e *environment) {
	return func(t *testing.T, e *environment) {
		if !e.h.Capabilities.Stage {
			t.Log("stages are declared absent; the first subtest has tested that they are")
			return
		}
		test(t, staged{e, e.h.Runtime.(provisioner.Stager)})
	}
}

// open opens a way in for the harness's user; it is closed with the test.
func (s staged) open(t *testing.T) provisioner.Stage {
	t.Helper()
	way, err := s.Stage(within(t), s.handle.Sandbox.ID, s.h.User)
	if err != nil {
		t.Fatalf("Stage: %v", err)
	}
	t.Cleanup(func() {
		if err := way.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return way
}

func (s staged) deliver(t *testing.T, files ...provisioner.File) {
	t.Helper()
	if err := s.open(t).Deliver(within(t), files); err != nil {
		t.Fatalf("Deliver: %v", err)
	}
}

// wantFile compares a delivered file with what was sent.
func (s staged) wantFile(t *testing.T, f provisioner.File) {
	t.Helper()
	at := provisioner.SecretsDir + "/" + f.Name
	want := fmt.Sprintf("%s %o\n", s.h.User, f.Mode)
	if got := s.output(t, "stat", "-c", "%U %a", at); got != want {
		t.Errorf("owner and mode of %q: %q, want %q", f.Name, got, want)
	}
	if got := s.output(t, "cat", at); got != string(f.Data) {
		t.Errorf("%q holds %d bytes that are not the %d that were sent", f.Name, len(got), len(f.Data))
	}
}

// testDeliver sends every byte value, and names and modes of all kinds.
func testDeliver(t *testing.T, s staged) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	files := []provisioner.File{
		{Name: "token", Mode: 0o400, Data: []byte("s3cr3t")},
		{Name: "empty", Mode: 0o600},
		{Name: "every byte", Mode: 0o640, Data: every},
		{Name: ".netrc", Mode: 0o600, Data: []byte("machine a\n\tlogin b\n\n")},
		{Name: "-rf", Mode: 0o444, Data: []byte(" spaces before and after \n ")},
		{Name: "quo'te\"$HOME;`id` \\ *", Mode: 0o755, Data: []byte(`\0101 \n $x '"%s` + "\r\n")},
		{Name: " ünïcödé ☂ ", Mode: 0o666, Data: []byte("ünïcödé ☂")},
		{Name: strings.Repeat("l", 255), Mode: 0o400, Data: []byte("long")},
	}
	s.deliver(t, files...)
	for _, f := range files {
		s.wantFile(t, f)
	}
}

func testDeliverMost(t *testing.T, s staged) {
	big := provisioner.File{Name: "most", Mode: 0o400, Data: noise(provisioner.MaxDelivery - 3*(provisioner.MaxDeliveryFiles-1))}
	files := []provisioner.File{big}
	for i := range provisioner.MaxDeliveryFiles - 1 {
		files = append(files, provisioner.File{Name: fmt.Sprint("many", i), Mode: 0o400, Data: fmt.Appendf(nil, "%03d", i)})
	}
	s.deliver(t, files...)
	s.wantFile(t, big)
	s.wantFile(t, files[1])
	s.wantFile(t, files[len(files)-1])
}

func testDeliverNothing(t *testing.T, s staged) { s.deliver(t) }

func testDeliverTwice(t *testing.T, s staged) {
	way := s.open(t)
	if err := way.Deliver(within(t), []provisioner.File{{Name: "once", Mode: 0o400, Data: []byte("1")}}); err != nil {
		t.Fatalf("Deliver: %v", err)
	}
	err := way.Deliver(within(t), []provisioner.File{{Name: "twice", Mode: 0o400, Data: []byte("2")}})
	wantClass(t, "Deliver through a way that was used", err, provisioner.NotFound)
	s.wantExec(t, 1, "test", "-e", provisioner.SecretsDir+"/twice")
	for range 2 {
		if err := way.Close(); err != nil {
			t.Errorf("Close after use: %v", err)
		}
	}
}

// testDeliverAgain: a delivery whose reply was lost is done again by another way.
func testDeliverAgain(t *testing.T, s staged) {
	s.deliver(t, provisioner.File{Name: "again", Mode: 0o400, Data: []byte("the first, which was longer")})
	second := provisioner.File{Name: "again", Mode: 0o600, Data: []byte("the second")}
	s.deliver(t, second)
	s.wantFile(t, second)
}

// testClaim: whoever claims a sandbox first has it, also when the answer was lost; nobody else has, whatever became of the mark.
func testClaim(t *testing.T, s staged) {
	at := func(name string) string { return provisioner.SecretsDir + "/" + name }
	empty := func() { s.wantExec(t, 0, "rm", "-rf", at(provisioner.ClaimFile), at("mine")) }
	claim := func(what, by string, used bool, files ...provisioner.File) error {
		t.Helper()
		way := s.open(t)
		if way.Used() != used {
			t.Errorf("%s: Used is %v, want %v", what, !used, used)
		}
		return way.Claim(within(t), by, files)
	}
	mine := provisioner.File{Name: "mine", Mode: 0o400, Data: []byte("hers")}
	wantClass(t, "a claim of nobody", claim("fresh", "", false), provisioner.Permanent)
	wantClass(t, "a claim that is no word", claim("fresh", "a b", false), provisioner.Permanent)
	for _, used := range []bool{false, true} {
		if err := claim("the first", "ann-1", used, mine); err != nil {
			t.Fatalf("Claim: %v", err)
		}
		s.wantFile(t, mine)
	}
	other := provisioner.File{Name: "other", Mode: 0o400, Data: []byte("his")}
	wantClass(t, "a second claim", claim("claimed", "bob-2", true, other), provisioner.Conflict)
	s.wantExec(t, 0, "rm", "-f", at(provisioner.ClaimFile))
	wantClass(t, "a claim of what holds a file", claim("without its mark", "bob-2", true, other), provisioner.Conflict)
	wantClass(t, "the first again, without its mark", claim("without its mark", "ann-1", true, mine), provisioner.Conflict)
	s.wantExec(t, 1, "test", "-e", at("other"))
	empty()
	if err := claim("without a file", "carl-3", false); err != nil {
		t.Fatalf("Claim: %v", err)
	}
	wantClass(t, "a claim of what was used without secrets", claim("marked", "bob-2", true), provisioner.Conflict)
	empty()
	s.wantExec(t, 0, "mkdir", at(provisioner.ClaimFile))
	wantClass(t, "a claim of what holds a folder of that name", claim("a folder", "bob-2", true), provisioner.Conflict)
	empty()
}

func testDeliverRefused(t *testing.T, s staged) {
	for what, files := range map[string][]provisioner.File{
		"no name":        {{Name: "", Mode: 0o400}},
		"a folder":       {{Name: "a/b", Mode: 0o400}},
		"the parent":     {{Name: "..", Mode: 0o400}},
		"the folder":     {{Name: ".", Mode: 0o400}},
		"a NUL":          {{Name: "a\x00b", Mode: 0o400}},
		"a line break":   {{Name: "a\nb", Mode: 0o400}},
		"a name too big": {{Name: strings.Repeat("n", 256), Mode: 0o400}},
		"twice the same": {{Name: "refused", Mode: 0o400}, {Name: "refused", Mode: 0o400}},
		"set-user-id":    {{Name: "refused", Mode: 0o4755}},
		"too much":       {{Name: "refused", Mode: 0o400, Data: make([]byte, provisioner.MaxDelivery)}, {Name: "more", Mode: 0o400, Data: []byte("x")}},
		"too many":       make([]provisioner.File, provisioner.MaxDeliveryFiles+1),
	} {
		t.Run(what, func(t *testing.T) {
			way := s.open(t)
			good := provisioner.File{Name: "good", Mode: 0o400, Data: []byte("x")}
			wantClass(t, "Deliver", way.Deliver(within(t), append([]provisioner.File{good}, files...)), provisioner.Permanent)
			wantClass(t, "Deliver after a refusal", way.Deliver(within(t), nil), provisioner.NotFound)
		})
	}
	s.wantExec(t, 1, "test", "-e", provisioner.SecretsDir+"/good")
}

// testDeliverNone: files that do not all find room are not there at all. What fills the folder is taken away again.
func testDeliverNone(t *testing.T, s staged) {
	for _, n := range []string{"fill1", "fill2"} {
		if err := s.open(t).Deliver(within(t), []provisioner.File{{Name: n, Mode: 0o600, Data: noise(provisioner.MaxDelivery)}}); err != nil {
			wantClass(t, "Deliver into a folder that is full", err, provisioner.Quota)
			s.wantExec(t, 1, "test", "-e", provisioner.SecretsDir+"/"+n)
		}
	}
	files := []provisioner.File{
		{Name: "none1", Mode: 0o400, Data: []byte("1")},
		{Name: "none2", Mode: 0o400, Data: noise(provisioner.MaxDelivery - 2)},
		{Name: "none3", Mode: 0o400, Data: []byte("3")},
	}
	wantClass(t, "Deliver more than there is room for", s.open(t).Deliver(within(t), files), provisioner.Quota)
	for _, f := range files {
		s.wantExec(t, 1, "test", "-e", provisioner.SecretsDir+"/"+f.Name)
	}
	s.wantExec(t, 0, "rm", "-f", provisioner.SecretsDir+"/fill1", provisioner.SecretsDir+"/fill2", provisioner.SecretsDir+"/most")
}

// waiting counts what runs in the sandbox, which one look adds the same number to each time.
func (s staged) waiting(t *testing.T) int {
	t.Helper()
	text, err := s.h.Processes(within(t), s.handle.Sandbox.ID)
	if err != nil {
		t.Fatalf("list processes: %v", err)
	}
	return strings.Count(text, "bothy-stage")
}

func testStageClosed(t *testing.T, s staged) {
	way := s.open(t)
	if n := s.waiting(t); n != 1 {
		t.Errorf("%d processes wait in the sandbox, want one", n)
	}
	for range 2 {
		if err := way.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	wantClass(t, "Deliver after Close", way.Deliver(within(t), nil), provisioner.NotFound)
	eventually(t, "the end of the process inside", func() bool { return s.waiting(t) == 0 })
}

func testStageOutlives(t *testing.T, s staged) {
	ctx, stop := context.WithCancel(within(t))
	way, err := s.Stage(ctx, s.handle.Sandbox.ID, s.h.User)
	stop()
	if err != nil {
		t.Fatalf("Stage: %v", err)
	}
	f := provisioner.File{Name: "outlives", Mode: 0o400, Data: []byte("x")}
	if err := way.Deliver(within(t), []provisioner.File{f}); err != nil {
		t.Errorf("Deliver after the context of Stage has ended: %v", err)
	}
	s.wantFile(t, f)
}

func testStageCancelled(t *testing.T, s staged) {
	ctx, stop := context.WithCancel(within(t))
	stop()
	_, err := s.Stage(ctx, s.handle.Sandbox.ID, s.h.User)
	wantClass(t, "Stage with a context that has ended", err, provisioner.Cancelled)
	way := s.open(t)
	err = way.Deliver(ctx, []provisioner.File{{Name: "cancelled", Mode: 0o400}})
	wantClass(t, "Deliver with a context that has ended", err, provisioner.Cancelled)
	wantClass(t, "Deliver after a cancelled one", way.Deliver(within(t), nil), provisioner.NotFound)
	eventually(t, "the end of the process inside", func() bool { return s.waiting(t) == 0 })
	s.wantExec(t, 1, "test", "-e", provisioner.SecretsDir+"/cancelled")
}

const (
	// stagesAtOnce is as many as a sandbox of 128 processes has room for.
	stagesAtOnce = 100
	// endsAtOnce is how many of them end side by side: containerd loses exits beyond 32, or waits a second for each.
	endsAtOnce = 24
)

func testStageMany(t *testing.T, s staged) {
	ctx := within(t)
	ways, errs := make([]provisioner.Stage, stagesAtOnce), make([]error, stagesAtOnce)
	var group sync.WaitGroup
	for i := range ways {
		group.Go(func() { ways[i], errs[i] = s.Stage(ctx, s.handle.Sandbox.ID, s.h.User) })
	}
	group.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		t.Fatalf("Stage %d, at once with others: %v", i, errs[i])
	}
	for first := 0; first < len(ways); first += endsAtOnce {
		last := min(first+endsAtOnce, len(ways))
		for i := first; i < last; i++ {
			group.Go(func() {
				if i%2 == 0 {
					errs[i] = ways[i].Deliver(ctx, []provisioner.File{{Name: fmt.Sprint("at-once-", i), Mode: 0o400, Data: fmt.Append(nil, i)}})
					return
				}
				errs[i] = ways[i].Close()
			})
		}
		group.Wait()
		eventually(t, "the end of those that were used or closed", func() bool { return s.waiting(t) == len(ways)-last })
	}
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		t.Fatalf("%d, at once with others: %v", i, errs[i])
	}
	s.wantFile(t, provisioner.File{Name: "at-once-98", Mode: 0o400, Data: []byte("98")})
}

func testStageUser(t *testing.T, s staged) {
	_, err := s.Stage(within(t), s.handle.Sandbox.ID, "nosuch")
	wantClass(t, "Stage for a user that is not there", err, provisioner.Permanent)
}
