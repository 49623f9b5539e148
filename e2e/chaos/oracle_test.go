package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/receipt"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// live reads what the database holds as not gone.
func (h *house) live(ctx context.Context) ([]fleet.Environment, error) { return h.store.Live(ctx) }

// describe says in a line what environments are there, for whoever waited for something else.
func describe(envs []fleet.Environment) string {
	var text []string
	for _, e := range envs {
		text = append(text, fmt.Sprintf("%s %s pool=%q work=%q attempts=%d %s", e.Name, e.State, e.Pool, e.Work.Action, e.Work.Attempts, e.Work.LastError))
	}
	return "there are: " + strings.Join(text, "; ")
}

// settle waits until nothing is left to do, and then counts everything that was promised. It gives what is wrong.
func (s *script) settle(ctx context.Context) (wrong []string, err error) {
	err = until(ctx, "all is in order", func() (bool, string, error) {
		left, err := s.h.disorder(ctx)
		return err == nil && left == "", left, err
	})
	if err != nil {
		return nil, err
	}
	checks := []func(context.Context) ([]string, error){
		s.h.witness.histories, s.h.store.CheckUsage, s.h.store.CheckSpend, s.h.checkLedger, s.h.checkReceipts,
		s.h.checkSecrets, s.checkOrders,
	}
	for _, check := range checks {
		found, e := check(ctx)
		// The first few of a kind tell what it is.
		wrong, err = append(wrong, found[:min(len(found), 10)]...), errors.Join(err, e)
	}
	if left, e := s.h.disorder(ctx); left != "" || e != nil {
		wrong, err = append(wrong, "it did not stay in order: "+left), errors.Join(err, e)
	}
	return wrong, err
}

// disorder says what is not as it is at rest: the pools full and warm, nothing else, and at the provider
// exactly what belongs to them.
func (h *house) disorder(ctx context.Context) (string, error) {
	live, err := h.live(ctx)
	if err != nil {
		return "", err
	}
	ids, networks := map[string]bool{}, map[string]bool{}
	for _, env := range live {
		// How a sandbox joins a network is its provider's own text; the fake's ends with the network's name.
		ids[env.ID], networks[env.Network[strings.LastIndexByte(env.Network, ':')+1:]] = true, true
		if env.State != fleet.Warm || env.Work.Action != fleet.None {
			return describe(live), nil
		}
	}
	kept := 0
	for _, target := range h.targets {
		kept += target
	}
	if !h.full(live) || len(live) != kept {
		held, err := h.heldPools(ctx)
		return describe(live) + held, err
	}
	all, err := h.exists(ctx)
	if err != nil {
		return "", err
	}
	containers := 0
	for _, f := range all {
		switch {
		case h.real && f.Labels[provisioner.LabelEnvironment] == "":
			// It is kept ready for whoever comes, and goes with the daemon.
		case f.Labels[provisioner.LabelMark] != "":
			// Evidence of how far the records are; it goes with the last environment.
		case f.Kind == "network" && !networks[f.Name], f.Kind != "network" && !ids[f.Labels[provisioner.LabelEnvironment]]:
			return fmt.Sprintf("%s %s of environment %q exists and belongs to nobody", f.Kind, f.Name, f.Labels[provisioner.LabelEnvironment]), nil
		case f.Kind == "container":
			containers++
		}
	}
	if containers != len(live) {
		return fmt.Sprintf("%d containers exist for %d environments", containers, len(live)), nil
	}
	return "", nil
}

// heldPools says which pools are not refilled, and why.
func (h *house) heldPools(ctx context.Context) (text string, err error) {
	pools, err := h.store.Pools(ctx)
	for _, p := range pools {
		if p.Held != "" || p.Failures > 0 {
			text += fmt.Sprintf("; pool %s failed %d times in a row, held: %q", p.Name, p.Failures, p.Held)
		}
	}
	return text, err
}

// checkLedger: every second of every environment is booked once, to somebody, at its price.
func (h *house) checkLedger(ctx context.Context) (wrong []string, err error) {
	envs, err := h.everything(ctx)
	if err != nil {
		return nil, err
	}
	for _, env := range envs {
		entries, err := h.store.EntriesBy(ctx, store.EntryFilter{EnvironmentID: env.ID})
		if err != nil {
			return nil, err
		}
		if what := tiles(env, entries); what != "" {
			wrong = append(wrong, fmt.Sprintf("ledger of %s (%s): %s", env.Name, env.ID, what))
		}
	}
	return wrong, nil
}

// tiles says what is wrong with one environment's entries; "" when nothing is.
func tiles(env fleet.Environment, entries []ledger.Entry) string {
	var at time.Time
	var covered time.Duration
	var sum, held, leased int64
	for _, e := range entries {
		switch {
		case e.Debit == ledger.AccountHeld:
			held += e.AmountMicros
			continue
		case e.Credit == ledger.AccountHeld:
			held -= e.AmountMicros
			continue
		case e.From.Before(at) || !e.Until.After(e.From):
			return fmt.Sprintf("an entry is from %s until %s, the one before ended %s", e.From, e.Until, at)
		case e.Debit == ledger.AccountLeased:
			leased += e.AmountMicros
		}
		at, sum, covered = e.Until, sum+e.AmountMicros, covered+e.Until.Sub(e.From)
	}
	there := env.BilledBefore + env.BilledUntil.Sub(env.BilledFrom)
	switch {
	case !at.Equal(env.BookedUntil) && !env.BookedUntil.IsZero():
		return fmt.Sprintf("entries end %s, its time is booked until %s", at, env.BookedUntil)
	case env.State == fleet.Destroyed && at.After(env.BilledUntil):
		return fmt.Sprintf("entries end %s, and its last resource went %s", at, env.BilledUntil)
	case env.State == fleet.Destroyed && covered != there:
		return fmt.Sprintf("entries cover %s, it had something for %s", covered, there)
	case sum != ledger.Charge(env.Size.RateMicros, at, at.Add(covered)):
		return fmt.Sprintf("%d is booked, its time costs %d", sum, ledger.Charge(env.Size.RateMicros, at, at.Add(covered)))
	case env.Tenant != "" && leased > env.HeldMicros:
		return fmt.Sprintf("its lease cost %d, and %d was held", leased, env.HeldMicros)
	case env.State == fleet.Destroyed && held != 0:
		return fmt.Sprintf("%d is still held for what is gone", held)
	case env.State != fleet.Destroyed && held != env.HeldMicros:
		return fmt.Sprintf("%d is held by entries, %d by the row", held, env.HeldMicros)
	}
	return ""
}

// everything gives all environments that ever were, also those that are gone.
func (h *house) everything(ctx context.Context) ([]fleet.Environment, error) {
	rows, err := h.witness.db.QueryContext(ctx, "SELECT id FROM environments ORDER BY id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var envs []fleet.Environment
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		env, err := h.store.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		envs = append(envs, env)
	}
	return envs, rows.Err()
}

// checkReceipts: whatever is gone has a receipt, and each is signed and follows the one before.
func (h *house) checkReceipts(ctx context.Context) (wrong []string, err error) {
	var chain []receipt.Receipt
	of := map[string]bool{}
	for {
		page, err := h.store.Receipts(ctx, int64(len(chain)), 500)
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			of[r.EnvironmentID] = true
			chain = append(chain, receipt.Receipt{
				Seq: r.Seq, Environment: r.EnvironmentID, At: r.At, Body: r.Body, PrevHash: r.PrevHash, Hash: r.Hash, Signature: r.Signature,
			})
		}
		if len(page) == 0 {
			break
		}
	}
	err = h.ask(ctx, "ask for the receipts' key", func(c *client.Client) error {
		key, err := c.ReceiptKey(ctx)
		if err == nil {
			if e := receipt.VerifyChain(chain, key.Key); e != nil {
				wrong = append(wrong, e.Error())
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	envs, err := h.everything(ctx)
	for _, env := range envs {
		if (env.State == fleet.Destroyed) != of[env.ID] {
			wrong = append(wrong, fmt.Sprintf("%s (%s) is %s, and that it has a receipt is %v", env.Name, env.ID, env.State, of[env.ID]))
		}
	}
	return wrong, err
}

// checkSecrets: nothing is kept for delivery any more, and no secret is in a log or a database file.
func (h *house) checkSecrets(ctx context.Context) (wrong []string, err error) {
	var kept int
	if err := h.witness.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM secrets").Scan(&kept); err != nil {
		return nil, err
	}
	if kept > 0 {
		wrong = append(wrong, fmt.Sprintf("%d secrets are kept though all is delivered or gone", kept))
	}
	err = filepath.WalkDir(h.dir, func(path string, entry os.DirEntry, err error) error {
		// The provider itself holds what was delivered; here only what bothy writes counts.
		if err != nil || !entry.Type().IsRegular() || strings.HasPrefix(path, filepath.Join(h.dir, "world")) {
			return skipGone(err)
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), canary) {
			wrong = append(wrong, "a secret is in "+filepath.Base(path))
		}
		return skipGone(err)
	})
	return wrong, err
}

func skipGone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// checkOrders: each request that was acknowledged is there, its key still gives the same environment, and no two
// requests were given the same one.
func (s *script) checkOrders(ctx context.Context) (wrong []string, err error) {
	var ids []string
	for _, o := range s.orders {
		if _, err := s.request(ctx, o); err != nil {
			wrong = append(wrong, err.Error())
		}
		if slices.Contains(ids, o.id) {
			wrong = append(wrong, fmt.Sprintf("environment %s was given to two requests", o.id))
		}
		ids = append(ids, o.id)
		env, err := s.h.store.Get(ctx, o.id)
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Sprintf("request %s was acknowledged and is lost: %v", o.req.Name, err))
		case s.h.killed() == 0 && slices.Contains([]string{"claimed", "thawed"}, o.req.Name) && env.Pool == "":
			wrong = append(wrong, fmt.Sprintf("request %s was to take a warm environment, and went cold: %s", o.req.Name, env.Cold))
		}
	}
	return wrong, nil
}
