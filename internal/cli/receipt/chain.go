package receipt

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
	proof "github.com/bothy-env/bothy/internal/receipt"
)

// wholeChain is what a chain that verifies is told as.
type wholeChain struct {
	// Receipts is how many there are, which is the number of the last; 0 when nothing is gone yet, and nothing else is set then.
	Receipts int64      `json:"receipts"`
	Instance string     `json:"instance,omitempty"`
	LastAt   *time.Time `json:"last_at,omitempty"`
	LastHash string     `json:"last_hash,omitempty"`
}

// chainRun verifies all receipts there are, and writes them to a file if that was asked for.
func chainRun(ctx context.Context, opts *ReceiptOptions) error {
	key, err := opts.key(ctx)
	if err != nil {
		return err
	}
	var whole wholeChain
	verify := func(out io.Writer) (err error) {
		whole, err = verifyAll(opts.all(ctx), key, out)
		return err
	}
	if opts.Out == "" {
		err = verify(io.Discard)
	} else {
		err = replace(opts.Out, verify)
	}
	if err != nil {
		return err
	}
	return opts.Factory.Print(whole, func(w io.Writer) error { return showChain(w, opts, whole) })
}

// verifyAll checks the chain from its first receipt on and writes each that is good to out, one a line.
func verifyAll(all iter.Seq2[wire.Receipt, error], key []byte, out io.Writer) (wholeChain, error) {
	chain, lines := proof.Chain{Key: key}, json.NewEncoder(out)
	var whole wholeChain
	for r, err := range all {
		if err != nil {
			return whole, err
		}
		begins := chain.Last.Seq == 0
		body, err := chain.Add(proof.Receipt(r))
		if err == nil && begins && r.Seq != 1 {
			err = fmt.Errorf("receipt %d: it is the first that is there; those before it are missing", r.Seq)
		}
		if err != nil {
			return whole, &cmdutil.Error{
				Code: wire.CodeConflict, Sentence: "the chain of receipts is broken: " + err.Error(),
				Hint: "up to there it is good; get the rest, and the key, from where they were made", Err: err,
			}
		}
		if err := lines.Encode(r); err != nil {
			return whole, writeError(err)
		}
		whole = wholeChain{Receipts: r.Seq, Instance: body.Instance, LastAt: &r.At, LastHash: r.Hash}
	}
	return whole, nil
}

// all gives the receipts of the file, or else the daemon's, in their order there.
func (opts *ReceiptOptions) all(ctx context.Context) iter.Seq2[wire.Receipt, error] {
	if opts.Name != "" {
		return opts.inFile()
	}
	return func(yield func(wire.Receipt, error) bool) {
		c, err := opts.Factory.Client()
		for after := int64(0); err == nil; {
			var page []wire.Receipt
			if page, err = c.Receipts(ctx, after); err == nil && len(page) == 0 {
				return
			}
			for _, r := range page {
				if !yield(r, nil) {
					return
				}
				after = r.Seq
			}
		}
		yield(wire.Receipt{}, err)
	}
}

func (opts *ReceiptOptions) inFile() iter.Seq2[wire.Receipt, error] {
	return func(yield func(wire.Receipt, error) bool) {
		f, err := os.Open(opts.Name)
		if err != nil {
			yield(wire.Receipt{}, cmdutil.Usagef("--chain: %w", err).WithHint("save them with: bothy receipt --chain --out %s", opts.Name))
			return
		}
		defer f.Close() //nolint:errcheck // it was only read
		lines := json.NewDecoder(bufio.NewReader(f))
		for n := 1; ; n++ {
			var r wire.Receipt
			err := lines.Decode(&r)
			switch {
			case errors.Is(err, io.EOF) && n > 1:
				return
			case errors.Is(err, io.EOF):
				err = cmdutil.Usagef("%s holds no receipt", opts.Name)
			case err != nil:
				err = cmdutil.Usagef("%s: entry %d is no receipt: %w", opts.Name, n, err)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// replace writes a file that is there whole, as it was, or not at all.
func replace(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part-")
	if err != nil {
		return writeError(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	buffered := bufio.NewWriter(f)
	if err := write(buffered); err != nil {
		return err
	}
	if err := errors.Join(buffered.Flush(), f.Chmod(0o644)); err != nil { // it is meant to be shown around
		return writeError(err)
	}
	if err := f.Close(); err != nil {
		return writeError(err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return writeError(err)
	}
	return nil
}

func showChain(w io.Writer, opts *ReceiptOptions, c wholeChain) error {
	if c.Receipts == 0 {
		_, err := fmt.Fprintln(w, "Nothing is gone yet, so there is no receipt.")
		return err
	}
	whole := fmt.Sprintf("verified: %s, each signed by the installation and following the one before; none is missing", format.Count(int(c.Receipts), "receipt"))
	return format.Table(w, [][]string{
		{"Chain", opts.Factory.IO.Paint(iostreams.Green, whole)},
		{"Installation", format.Clean(c.Instance)},
		{"Last", fmt.Sprintf("receipt %d, %s", c.Receipts, c.LastAt.Local().Format(time.DateTime))},
		{"Hash", format.Clean(c.LastHash)},
		{"Note", "one that was cut short at its end looks whole: keep the last number and hash, and compare"},
	})
}
