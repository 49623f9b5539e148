package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/dialect"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// firstPrevHash is the previous hash of the first receipt.
var firstPrevHash = strings.Repeat("0", 64)

const receiptColumns = "seq, environment_id, at, body, prev_hash, hash, signature"

func scanReceipt(row sqlkit.Scanner) (r fleet.Receipt, err error) {
	err = row.Scan(&r.Seq, &r.EnvironmentID, sqlkit.Time(&r.At), &r.Body, &r.PrevHash, &r.Hash, &r.Signature)
	return r, err
}

// Receipt returns an environment's receipt, or CodeNotFound.
func (c *ReceiptChain) Receipt(ctx context.Context, environmentID string) (fleet.Receipt, error) {
	const query = "SELECT " + receiptColumns + " FROM receipts WHERE environment_id = $1"
	r, err := scanReceipt(c.db.Read.QueryRowContext(ctx, query, environmentID))
	if errors.Is(err, sql.ErrNoRows) {
		return fleet.Receipt{}, fleet.Errorf(fleet.CodeNotFound, "there is no receipt of environment %q", environmentID).
			WithHint("a receipt is issued once everything that the environment created is gone")
	}
	return r, c.db.Fault(ctx, "read receipt", err)
}

// Receipts returns a page of receipts after a number, in order. Limit 0 means DefaultLimit, at most MaxLimit.
func (c *ReceiptChain) Receipts(ctx context.Context, after int64, limit int) ([]fleet.Receipt, error) {
	const query = "SELECT " + receiptColumns + " FROM receipts WHERE seq > $1 ORDER BY seq LIMIT $2"
	rows, err := c.db.Read.QueryContext(ctx, query, after, sqlkit.PageSize(limit, DefaultLimit, MaxLimit))
	if err != nil {
		return nil, c.db.Fault(ctx, "read receipts", err)
	}
	receipts, err := sqlkit.Collect(rows, scanReceipt)
	return receipts, c.db.Fault(ctx, "read receipts", err)
}

// appendReceipt adds the next link of the chain. The lock on the counter keeps other transactions from adding one meanwhile.
func appendReceipt(ctx context.Context, tx *txn.Tx, id string, sign func(fleet.Receipt) (fleet.Receipt, error)) error {
	seq, err := tx.NextReceipt(ctx)
	if err != nil {
		return err
	}
	next := fleet.Receipt{Seq: seq, EnvironmentID: id, PrevHash: firstPrevHash}
	if seq > 1 {
		if err := tx.QueryRowContext(ctx, "SELECT hash FROM receipts WHERE seq = $1", seq-1).Scan(&next.PrevHash); err != nil {
			return err
		}
	}
	r, err := sign(next)
	if err != nil {
		return dialect.Passed{Err: err}
	}
	if r.Seq != next.Seq || r.PrevHash != next.PrevHash || r.EnvironmentID != id || r.Hash == "" {
		return fleet.Errorf(fleet.CodeInternal, "sign receipt of environment %s: it does not follow the one before", id)
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO receipts ("+receiptColumns+") VALUES ("+sqlkit.Placeholders(1, 7)+")",
		r.Seq, id, sqlkit.Micros(r.At), r.Body, r.PrevHash, r.Hash, r.Signature)
	return err
}
