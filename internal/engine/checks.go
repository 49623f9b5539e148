package engine

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// Check is one finding about what the daemon needs.
type Check struct {
	// Name is a short word: "store", "docker", "terraform".
	Name string
	// Status is "ok", "warning" or "failed"; one failed means not ready.
	Status string
	// Message is one sentence, Hint the next thing to do.
	Message, Hint string
}

// Statuses of a check.
const (
	OK      = "ok"
	Warning = "warning"
	Down    = "failed"
)

// checkTimeout bounds each check.
const checkTimeout = 5 * time.Second

// Checks looks at everything the daemon needs to make environments.
func (e *Engine) Checks(ctx context.Context) []Check {
	checks := []Check{
		e.check(ctx, "store", "the database answers", e.store.Ping),
	}
	for _, h := range e.hosts.all() {
		checks = append(checks,
			e.check(ctx, e.hosts.checkName("docker", h), "the Docker engine answers", h.Runtime.Ready))
		terraform := e.check(ctx, e.hosts.checkName("terraform", h), "Terraform can be run", h.Driver.Ready)
		checks = append(checks, terraform)
		if terraform.Status == OK { // else its cause is the blueprints' too
			checks = append(checks, e.checkBlueprints(h))
		}
	}
	checks = append(checks, e.checkHosts(ctx), e.checkClock(ctx), e.checkBrake(ctx), e.checkPools(ctx))
	checks = append(checks, e.checkSafeMode(ctx), e.checkForged())
	for _, extra := range e.cfg.ExtraChecks {
		checks = append(checks, extra(ctx))
	}
	return checks
}

func (e *Engine) check(ctx context.Context, name, fine string, ask func(context.Context) error) Check {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := ask(ctx); err != nil {
		return Check{Name: name, Status: Down, Message: provisioner.Sentence(err), Hint: "requests wait until this is mended; nothing is lost"}
	}
	return Check{Name: name, Status: OK, Message: fine}
}
