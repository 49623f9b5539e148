// Package receipt holds the command for deletion receipts.
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
	// Name is an environment, or a file with Verify or Chain.
	Name string
	// Verify verifies one receipt, Chain all receipts.
	Verify, Chain bool
	Key, Out      string
	PublicKey     bool
}

// NewCmdReceipt makes `bothy receipt`.
func NewCmdReceipt(f *cmdutil.Factory, runF func(context.Context, *ReceiptOptions) error) *cobra.Command {
	opts := &ReceiptOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "receipt [ENV|FILE]",
		Short: "Print and verify deletion receipts",
		Long: `Prints the signed deletion receipt of an environment: its resources, the checks that found none left, and when they ran. Each
receipt is signed with the key of the installation and contains the hash of the previous receipt. --verify verifies the
signature, the hash and the content.

--chain verifies the receipts of all tenants: that each is valid, and that none between the first and the last is missing. It
reads them from the daemon (platform role), or from a file written by --chain --out, one receipt per line.

You can verify a file without a daemon. Save the key with --public-key and the receipt with --out. A key that you saved earlier
proves more than a key that the daemon sends now.`,
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
	flags.BoolVar(&opts.Verify, "verify", false, "Verify the receipt of an environment, or in a file (needs no daemon with --key)")
	flags.StringVar(&opts.Key, "key", "", "Public key `file` of the installation (default: key from the daemon)")
	flags.StringVar(&opts.Out, "out", "", "Write the receipt, the key or all receipts to `file`")
	flags.BoolVar(&opts.Chain, "chain", false, "Verify all receipts of the daemon or of a file")
	flags.BoolVar(&opts.PublicKey, "public-key", false, "Print the public key that verifies receipts")
	return cmd
}

// what checks that the flags select exactly one action.
func (opts *ReceiptOptions) what(named bool) error {
	switch {
	case opts.Chain && opts.PublicKey, !opts.Chain && opts.PublicKey == named:
		return cmdutil.Usagef("bothy receipt: want one environment, a file to verify, --chain, or --public-key").WithHint("bothy receipt --help")
	case opts.Chain && named && opts.Out != "":
		return cmdutil.Usagef("bothy receipt: --out cannot be used with --chain FILE").WithHint("bothy receipt --chain --out all.jsonl")
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

// read returns the receipt: with --verify from a file of that name if there is one, otherwise from the daemon.
func (opts *ReceiptOptions) read(ctx context.Context) (wire.Receipt, error) {
	var r wire.Receipt
	if info, err := os.Stat(opts.Name); opts.Verify && err == nil && info.Mode().IsRegular() {
		data, err := os.ReadFile(opts.Name)
		if err != nil {
			return r, &cmdutil.Error{Code: wire.CodeConflict, Sentence: "cannot read receipt: " + err.Error(), Err: err}
		}
		if err := json.Unmarshal(data, &r); err != nil {
			return r, cmdutil.Usagef("cannot read receipt: %s is not a receipt: %w", opts.Name, err)
		}
		return r, nil
	}
	c, err := opts.Factory.Client()
	if err != nil {
		return r, err
	}
	return c.Receipt(ctx, opts.Name)
}

// body returns the content of a receipt, verified with --verify.
func (opts *ReceiptOptions) body(ctx context.Context, r wire.Receipt) (proof.Body, error) {
	if !opts.Verify {
		var body proof.Body
		if err := json.Unmarshal(r.Body, &body); err != nil {
			return body, &cmdutil.Error{Code: wire.CodeInternal, Sentence: "cannot parse receipt: " + err.Error(), Hint: "check that bothy and bothyd have the same version: bothy version", Err: err}
		}
		return body, nil
	}
	key, err := opts.key(ctx)
	if err != nil {
		return proof.Body{}, err
	}
	body, err := proof.Verify(proof.Receipt(r), key)
	if err != nil {
		return body, &cmdutil.Error{Code: wire.CodeConflict, Sentence: "cannot " + err.Error(), Hint: "get the receipt and the key from their source again", Err: err}
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
		return nil, cmdutil.Usagef("--key: %s is not a base64 public key of %d bytes", opts.Key, ed25519.PublicKeySize).WithHint("bothy receipt --public-key --out %s", opts.Key)
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
	if err := os.WriteFile(opts.Out, data, 0o644); err != nil { //nolint:gosec // receipts are public
		return writeError(err)
	}
	return nil
}

func writeError(err error) error {
	return &cmdutil.Error{Code: wire.CodeConflict, Sentence: "cannot write file: " + err.Error(), Err: err}
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
