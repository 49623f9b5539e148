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

// wholeChain describes a verified chain.
type wholeChain struct {
	// Receipts is the number of receipts and of the last receipt; 0 if no environment was deleted yet, then all other fields are empty.
	Receipts int64      `json:"receipts"`
	Instance string     `json:"instance,omitempty"`
	LastAt   *time.Time `json:"last_at,omitempty"`
	LastHash string     `json:"last_hash,omitempty"`
}

// chainRun verifies all receipts and writes them to a file with --out.
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

// verifyAll verifies the chain from its first receipt and writes each valid receipt to out, one per line.
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
			err = fmt.Errorf("receipt %d is the first one: earlier receipts are missing", r.Seq)
		}
		if err != nil {
			return whole, &cmdutil.Error{
				Code: wire.CodeConflict, Sentence: "cannot verify the chain of receipts: " + err.Error(),
				Hint: "earlier receipts are valid. Get the others and the key from their source.", Err: err,
			}
		}
		if err := lines.Encode(r); err != nil {
			return whole, writeError(err)
		}
		whole = wholeChain{Receipts: r.Seq, Instance: body.Instance, LastAt: &r.At, LastHash: r.Hash}
	}
	return whole, nil
}

// all iterates over the receipts of the file, otherwise of the daemon, in order.
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
			yield(wire.Receipt{}, cmdutil.Usagef("--chain: %w", err).WithHint("bothy receipt --chain --out %s", opts.Name))
			return
		}
		defer f.Close() //nolint:errcheck // read only
		lines := json.NewDecoder(bufio.NewReader(f))
		for n := 1; ; n++ {
			var r wire.Receipt
			err := lines.Decode(&r)
			switch {
			case errors.Is(err, io.EOF) && n > 1:
				return
			case errors.Is(err, io.EOF):
				err = cmdutil.Usagef("cannot read receipts from %s: the file has none", opts.Name)
			case err != nil:
				err = cmdutil.Usagef("cannot read receipts from %s: entry %d is not a receipt: %w", opts.Name, n, err)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// replace writes a file atomically.
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
	if err := errors.Join(buffered.Flush(), f.Chmod(0o644)); err != nil { // receipts are public
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
		_, err := fmt.Fprintln(w, "No receipts: no environment was deleted yet.")
		return err
	}
	whole := fmt.Sprintf("verified: %s, each signed by the installation and linked to the previous one, none missing", format.Count(int(c.Receipts), "receipt"))
	return format.Table(w, [][]string{
		{"Chain", opts.Factory.IO.Paint(iostreams.Green, whole)},
		{"Installation", format.Clean(c.Instance)},
		{"Last", fmt.Sprintf("receipt %d, %s", c.Receipts, c.LastAt.Local().Format(time.DateTime))},
		{"Hash", format.Clean(c.LastHash)},
		{"Note", "a chain without its last receipts verifies too. Keep the last number and hash to compare."},
	})
}
