package daemon_test

import (
	"cmp"
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// brittle panics once in one of its calls, and counts that call.
type brittle struct {
	*fake.Runtime
	op    fake.Op
	calls *atomic.Int64
	// armed says that it may: what making an environment calls as well is left to the loops.
	armed *atomic.Bool
}

func (b brittle) meet(op fake.Op) {
	if op == b.op && b.armed.Load() && b.calls.Add(1) == 1 {
		panic("brittle")
	}
}

func (b brittle) Ready(ctx context.Context) error {
	b.meet(fake.OpRuntimeReady)
	return b.Runtime.Ready(ctx)
}

func (b brittle) List(ctx context.Context, sel provisioner.Selector) (provisioner.Page, error) {
	b.meet(fake.OpInventory)
	return b.Runtime.List(ctx, sel)
}

func (b brittle) Watch(ctx context.Context, instance string, begun func(), happened func(provisioner.Found)) error {
	b.meet(fake.OpWatch)
	return b.Runtime.Watch(ctx, instance, begun, happened)
}

func (b brittle) Traffic(ctx context.Context, id string) (int64, error) {
	b.meet(fake.OpTraffic)
	return b.Runtime.Traffic(ctx, id)
}

func (b brittle) Inspect(ctx context.Context, id string) (provisioner.Status, error) {
	b.meet(fake.OpInspect)
	return b.Runtime.Inspect(ctx, id)
}

func (b brittle) Reconcile(ctx context.Context, live []provisioner.Attachment) error {
	b.meet(fake.OpReconcile)
	return b.Runtime.Reconcile(ctx, live)
}

func (b brittle) Mark(ctx context.Context, name string, labels map[string]string) error {
	b.meet(fake.OpMark)
	return b.Runtime.Mark(ctx, name, labels)
}

// brittleDriver panics when it is asked for the first time to get a blueprint ready.
type brittleDriver struct {
	provisioner.Driver
	calls *atomic.Int64
}

func (b brittleDriver) Prepare(ctx context.Context, bp provisioner.Blueprint) error {
	if b.calls.Add(1) == 1 {
		panic("brittle")
	}
	return b.Driver.Prepare(ctx, bp)
}

// TestAPanicEndsNoLoop: whichever loop panics, the daemon lives, the loop goes on, the log has its stack, and doctor counts it.
func TestAPanicEndsNoLoop(t *testing.T) {
	once := func(calls *atomic.Int64) {
		if calls.Add(1) == 1 {
			panic("brittle")
		}
	}
	cases := map[string]func(c *daemon.Config, calls *atomic.Int64, armed *atomic.Bool){
		"controller": func(c *daemon.Config, calls *atomic.Int64, _ *atomic.Bool) {
			c.Pools = func() ([]fleet.Pool, error) {
				if strings.Contains(string(debug.Stack()), "Controller).once(") { // the check of pools reads them as well
					once(calls)
				}
				return nil, nil
			}
		},
		"check": func(c *daemon.Config, calls *atomic.Int64, _ *atomic.Bool) {
			c.ExtraChecks = append(c.ExtraChecks, func(context.Context) service.Check {
				once(calls)
				return service.Check{Name: "extra", Status: service.OK}
			})
		},
		"blueprint": func(c *daemon.Config, calls *atomic.Int64, _ *atomic.Bool) {
			c.Hosts[0].Driver = brittleDriver{c.Hosts[0].Driver, calls}
		},
	}
	for _, op := range []fake.Op{
		fake.OpRuntimeReady, fake.OpInventory, fake.OpWatch, fake.OpTraffic, fake.OpInspect, fake.OpReconcile, fake.OpMark,
	} {
		if can := fake.New(fake.Options{Like: like}).Runtime().Capabilities(); op == fake.OpTraffic && !can.Traffic || op == fake.OpReconcile && !can.Networks {
			continue
		}
		cases[string(op)] = func(c *daemon.Config, calls *atomic.Int64, armed *atomic.Bool) {
			armed.Store(op != fake.OpInspect)
			r := brittle{c.Hosts[0].Runtime.(*fake.Runtime), op, calls, armed}
			c.Hosts[0].Runtime = r
			if c.Hosts[0].Networks != nil {
				c.Hosts[0].Networks = r
			}
		}
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			var armed atomic.Bool
			var log lockedBuffer
			b := setup(t, unending, func(c *daemon.Config) {
				c.CheckEvery, c.Logger = c.Tick, slog.New(slog.NewTextHandler(&log, nil))
				change(c, &calls, &armed)
			}).run()
			b.pool("builders", 1)
			b.untilWarm(1)
			env := b.untilState(b.acquire(idle(patience)).ID, fleet.Leased)
			b.untilWarm(1) // its successor
			armed.Store(true)
			waitUntil(t, "it is done again", func() bool { return calls.Load() > 1 })
			b.release(env.ID)
			b.untilState(env.ID, fleet.Destroyed)
			if c := b.check("faults"); c.Status != service.Warning || !strings.Contains(c.Message, "since the daemon started: 1;") || c.Hint == "" {
				t.Errorf("doctor says %+v", c)
			}
			if text := log.String(); !strings.Contains(text, "panic=brittle") || !strings.Contains(text, "guard_test.go") {
				t.Errorf("the log does not say where it panicked: %s", text)
			}
		})
	}
}

// TestEveryGoroutineIsGuarded: one package begins goroutines, for this one and for all rooms, so that none can end the daemon.
func TestEveryGoroutineIsGuarded(t *testing.T) {
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && name == "guard" {
			return cmp.Or(err, fs.SkipDir)
		}
		if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			onlyGuarded(t, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func onlyGuarded(t *testing.T, name string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s: a goroutine that is not guarded: use guard.Aside, KeepUp or SideBySide", set.Position(n.Pos()))
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Go" {
				t.Errorf("%s: a goroutine that is not guarded: use guard.Aside, KeepUp or SideBySide", set.Position(n.Pos()))
			}
		}
		return true
	})
}
