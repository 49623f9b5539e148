package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"text/tabwriter"
)

// printTable writes the rows, aligned. Figures are medians unless the head says otherwise.
func printTable(w io.Writer, rows []result) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "NAME\tUNIT\tOURS\tP99\tBY HAND\tRATIO\tGOAL\t\tN\tHOW")
	for _, r := range rows {
		f := r.figures()
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n",
			r.name, r.unit, number(f.ours), number(f.p99), number(f.hand), number(f.ratio), r.goalText(), r.verdict(), len(r.ours), r.how)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}

// number prints three significant digits, and "-" for unknown values.
func number(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case math.Abs(v) >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case math.Abs(v) >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

func (r result) goalText() string {
	if (r.goal == goal{}) {
		return "-"
	}
	unit, sign := r.unit, "<= "
	if r.goal.ratio {
		unit = "x"
	}
	if r.goal.least {
		sign = ">= "
	}
	text := sign + strconv.FormatFloat(r.goal.bound, 'g', -1, 64) + " " + unit
	if r.goal.p99 > 0 {
		text += ", p99 <= " + strconv.FormatFloat(r.goal.p99, 'g', -1, 64) + " " + unit
	}
	return text
}

// record is a row in bench.json. Unknown values are null.
type record struct {
	Name   string   `json:"name"`
	Unit   string   `json:"unit"`
	Ours   *float64 `json:"ours"`
	ByHand *float64 `json:"by_hand"`
	Ratio  *float64 `json:"ratio"`
	Goal   *string  `json:"goal"`
	N      int      `json:"n"`
	P50    *float64 `json:"p50"`
	P99    *float64 `json:"p99"`
}

// writeJSON writes the rows as a list to a file.
func writeJSON(path string, rows []result) error {
	list := make([]record, 0, len(rows))
	for _, r := range rows {
		f := r.figures()
		rec := record{
			Name: r.name, Unit: r.unit, Ours: known(f.ours), ByHand: known(f.hand), Ratio: known(f.ratio),
			N: len(r.ours), P50: known(f.p50), P99: known(f.p99),
		}
		if text := r.goalText(); text != "-" {
			rec.Goal = &text
		}
		list = append(list, rec)
	}
	data, err := json.MarshalIndent(list, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(data, '\n'), 0o644) //nolint:gosec // figures are not secret
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// known rounds to six significant digits; nil for values that JSON cannot represent.
func known(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64)
	if err != nil {
		return nil
	}
	return &rounded
}
