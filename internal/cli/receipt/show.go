package receipt

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
	proof "github.com/bothy-env/bothy/internal/receipt"
)

func show(w io.Writer, opts *ReceiptOptions, r wire.Receipt, b proof.Body) error {
	f := opts.Factory
	env := b.Environment
	said := "not verified (use --verify)"
	if opts.Verify {
		said = f.IO.Paint(iostreams.Green, "verified: signed by the installation, unchanged")
	}
	rows := [][]string{
		{"Receipt", fmt.Sprintf("%d of installation %s", r.Seq, format.Clean(b.Instance))},
		{"Signature", said},
		{"Environment", fmt.Sprintf("%s (%s)", f.IO.Paint(iostreams.Bold, format.Clean(env.Name)), format.Clean(env.ID))},
		{"Owner", format.Clean(fmt.Sprintf("%s (team %s, tenant %s)", env.User, env.Team, env.Tenant))},
		{"Blueprint", format.Clean(env.Blueprint)},
		{"Lifetime", fmt.Sprintf("%s to %s", b.CreatedAt.Local().Format(time.DateTime), b.DestroyedAt.Local().Format(time.DateTime))},
		{"Cost", format.Money(b.CostMicros, b.Currency)},
	}
	if env.User == "" {
		rows[3][1] = "none (warm member of pool " + format.Clean(env.Pool) + ")"
	}
	for i, res := range b.Resources {
		what := strings.TrimSpace(res.Kind + " " + res.Name + " " + res.ID)
		if res.Note != "" {
			what += " (" + res.Note + ")"
		}
		rows = append(rows, []string{once(i, "Resources"), format.Clean(what)})
	}
	if len(b.Resources) == 0 {
		rows = append(rows, []string{"Resources", "none were created"})
	}
	for i, c := range b.Checks {
		rows = append(rows, []string{once(i, "Checks"), format.Clean(fmt.Sprintf("%s: %d found, %s", c.What, c.Found, c.At.Local().Format(time.DateTime)))})
	}
	return format.Table(w, rows)
}

// once returns the name for the first of several rows.
func once(i int, name string) string {
	if i > 0 {
		return ""
	}
	return name
}
