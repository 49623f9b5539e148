// Package receipt holds the command on receipts: the proof that what was made is gone.
package receipt

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	proof "github.com/bothy-env/bothy/internal/receipt"
)

// ReceiptOptions are the arguments and flags of receipt.
type ReceiptOptions struct {
	Factory *cmdutil.Factory
	// Name is an environment, or with Verify or Chain a file.
	Name string
	// Verify checks one, Chain all there are.
	Verify, Chain bool
	Key, Out      string
	PublicKey     bool
}

// NewCmdReceipt makes `bothy receipt`.
func NewCmdReceipt(f *cmdutil.Factory, runF func(context.Context, *ReceiptOptions) error) *cobra.Command {
	opts := &ReceiptOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "receipt [ENV|FILE]",
		Short: "Give and verify the receipt of an environment that is gone",
		Long: `Give the receipt of an environment that is gone: what there was of it, what was looked for and not found, and when. It is
signed with the installation's key, and bound to the receipt before it. --verify checks the signature, the hash and what it says.

--chain verifies all receipts, of every tenant: each of them, and that none is missing between the first and the last. It asks the
daemon, which gives them to the platform role, or reads a file that --chain --out has written, one receipt a line.

A file verifies without a daemon: keep the key with --public-key, the receipt with --out, and give both to whoever asks. A
key that the daemon itself hands out proves no more than the daemon's word; one that was kept before proves more.`,
		Example: `  bothy receipt web --verify
  bothy receipt web --out web.receipt.json
  bothy receipt --public-key --out bothy.key
  bothy receipt --verify web.receipt.json --key bothy.key
  bothy receipt --chain --out all.jsonl
  bothy receipt --chain all.jsonl --key bothy.key`,
		Args: cmdutil.Args(0, 1, "one environment, or with --verify or --chain a file"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
			names, _ := f.CompleteEnvironments(1, true)(cmd, args, toComplete)
			return names, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := opts.what(len(args) == 1); err != nil {
				return err
			}
			if len(args) == 1 {
				opts.Name = args[0]
			}
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return receiptRun(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&opts.Verify, "verify", false, "verify it; what is there as a file is read from it, without a daemon if --key is given")
	flags.StringVar(&opts.Key, "key", "", "`file` with the installation's public key (default: ask the daemon)")
	flags.StringVar(&opts.Out, "out", "", "`file` to write the receipt, the key, or all receipts to")
	flags.BoolVar(&opts.Chain, "chain", false, "verify all receipts, the daemon's or those of a file")
	flags.BoolVar(&opts.PublicKey, "public-key", false, "give the key that receipts are verified with")
	return cmd
}

// what checks that it was said which of its things is to be done.
func (opts *ReceiptOptions) what(named bool) error {
	switch {
	case opts.Chain && opts.PublicKey, !opts.Chain && opts.PublicKey == named:
		return cmdutil.Usagef("bothy receipt: want one environment, a file to verify, --chain, or --public-key").WithHint("bothy receipt --help")
	case opts.Chain && named && opts.Out != "":
		return cmdutil.Usagef("bothy receipt: --out keeps what the daemon gives, and with a file --chain asks no daemon").WithHint("bothy receipt --chain --out all.jsonl")
	}
	return nil
}

func receiptRun(ctx context.Context, opts *ReceiptOptions) error {
	switch {
	case opts.Chain:
		return chainRun(ctx, opts)
	case opts.PublicKey:
		return opts.publicKey(ctx)
	}
	r, err := opts.read(ctx)
	if err != nil {
		return err
	}
	body, err := opts.body(ctx, r)
	if err != nil {
		return err
	}
	if opts.Out != "" {
		if err := opts.write(r); err != nil {
			return err
		}
	}
	return opts.Factory.Print(r, func(w io.Writer) error { return show(w, opts, r, body) })
}

// read gives the receipt: of a file when it is to be verified and there is one of that name, else the daemon's.
func (opts *ReceiptOptions) read(ctx context.Context) (wire.Receipt, error) {
	var r wire.Receipt
	if info, err := os.Stat(opts.Name); opts.Verify && err == nil && info.Mode().IsRegular() {
		data, err := os.ReadFile(opts.Name)
		if err != nil {
			return r, &cmdutil.Error{Code: wire.CodeConflict, Sentence: "read receipt: " + err.Error(), Err: err}
		}
		if err := json.Unmarshal(data, &r); err != nil {
			return r, cmdutil.Usagef("%s is no receipt: %w", opts.Name, err)
		}
		return r, nil
	}
	c, err := opts.Factory.Client()
	if err != nil {
		return r, err
	}
	return c.Receipt(ctx, opts.Name)
}

// body is what a receipt says, verified if that was asked for.
func (opts *ReceiptOptions) body(ctx context.Context, r wire.Receipt) (proof.Body, error) {
	if !opts.Verify {
		var body proof.Body
		if err := json.Unmarshal(r.Body, &body); err != nil {
			return body, &cmdutil.Error{Code: wire.CodeInternal, Sentence: "the receipt cannot be understood: " + err.Error(), Hint: "check that bothy and bothyd are of one version", Err: err}
		}
		return body, nil
	}
	key, err := opts.key(ctx)
	if err != nil {
		return proof.Body{}, err
	}
	body, err := proof.Verify(proof.Receipt(r), key)
	if err != nil {
		return body, &cmdutil.Error{Code: wire.CodeConflict, Sentence: err.Error(), Hint: "it proves nothing as it is: get it, and the key, from where they were made", Err: err}
	}
	return body, nil
}

func (opts *ReceiptOptions) key(ctx context.Context) ([]byte, error) {
	if opts.Key == "" {
		c, err := opts.Factory.Client()
		if err != nil {
			return nil, err
		}
		k, err := c.ReceiptKey(ctx)
		return k.Key, err
	}
	data, err := os.ReadFile(opts.Key)
	if err != nil {
		return nil, cmdutil.Usagef("--key: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, cmdutil.Usagef("--key: %s holds no public key of %d bytes in base64", opts.Key, ed25519.PublicKeySize).WithHint("bothy receipt --public-key --out %s", opts.Key)
	}
	return key, nil
}

func (opts *ReceiptOptions) write(r wire.Receipt) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode receipt: %w", err)
	}
	return opts.save(append(data, '\n'))
}

func (opts *ReceiptOptions) save(data []byte) error {
	if err := os.WriteFile(opts.Out, data, 0o644); err != nil { //nolint:gosec // it is meant to be shown around
		return writeError(err)
	}
	return nil
}

func writeError(err error) error {
	return &cmdutil.Error{Code: wire.CodeConflict, Sentence: "write file: " + err.Error(), Err: err}
}

func (opts *ReceiptOptions) publicKey(ctx context.Context) error {
	c, err := opts.Factory.Client()
	if err != nil {
		return err
	}
	key, err := c.ReceiptKey(ctx)
	if err != nil {
		return err
	}
	text := base64.StdEncoding.EncodeToString(key.Key)
	if opts.Out != "" {
		if err := opts.save([]byte(text + "\n")); err != nil {
			return err
		}
	}
	return opts.Factory.Print(key, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, text)
		return err
	})
}
