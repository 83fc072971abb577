package store

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
)

// rowsAtOnce bounds how many rows one statement inserts; a database bounds its parameters.
// Each statement takes a power of two of them, so that there are few texts: both databases
// keep prepared what they have seen before.
const rowsAtOnce = 64

// InsertRows inserts many rows with few statements and returns how many there are more.
// Insert is the statement with the bare word VALUES where the rows come; args holds the
// columns of the first row, then those of the second …. No rows change nothing.
func InsertRows(ctx context.Context, tx *sql.Tx, insert string, columns int, args []any) (int64, error) {
	head, tail, _ := strings.Cut(insert, "VALUES")
	var inserted int64
	for len(args) > 0 {
		n := rowsAtOnce
		for n > len(args)/columns {
			n /= 2
		}
		res, err := tx.ExecContext(ctx, head+Values(n, columns)+tail, args[:n*columns]...)
		if err != nil {
			return inserted, err
		}
		affected, err := res.RowsAffected()
		if err != nil {
			return inserted, err
		}
		inserted += affected
		args = args[n*columns:]
	}
	return inserted, nil
}

// Values is the list of so many rows of parameters, from $1 on: "VALUES ($1,$2),($3,$4)".
func Values(rows, columns int) string {
	var b strings.Builder
	b.WriteString("VALUES ")
	for i := range rows * columns {
		switch {
		case i == 0:
			b.WriteString("($")
		case i%columns == 0:
			b.WriteString("),($")
		default:
			b.WriteString(",$")
		}
		b.WriteString(strconv.Itoa(i + 1))
	}
	b.WriteString(")")
	return b.String()
}

// parameters is a list of so many parameters: "$1,$2".
func parameters(n int) string {
	return strings.TrimSuffix(strings.TrimPrefix(Values(1, n), "VALUES ("), ")")
}

// Params is a list of so many parameters, from $1 on: "$1,$2,$3".
func Params(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("$" + strconv.Itoa(i+1))
	}
	return b.String()
}
