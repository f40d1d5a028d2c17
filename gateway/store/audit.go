package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/portico-fhir/portico/gateway/audit"
)

var (
	_ audit.Sink   = (*Store)(nil)
	_ audit.Reader = (*Store)(nil)
)

// ErrBehind says that more events are waiting to be written than can be.
var ErrBehind = errors.New("store: the audit is too far behind")

// Record implements audit.Sink. It returns when the event is on the disk, or
// with an error when it is not. The client's leaving changes nothing: what was
// asked is written down whether or not somebody waits for the answer.
func (s *Store) Record(_ context.Context, e audit.Event) error {
	if err := audit.Validate(e); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return s.audit.record(e)
}

// Events implements audit.Reader.
func (s *Store) Events(ctx context.Context, f audit.Filter) ([]audit.Stored, error) {
	query, args := eventsQuery(f)
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("store: events: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var out []audit.Stored
	for rows.Next() {
		var (
			e  audit.Stored
			at int64
		)
		if err := rows.Scan(&e.Seq, &e.ID, &at, &e.RequestID, &e.Source, &e.Client, &e.PersonIss, &e.PersonSub, &e.Patient, &e.Grant,
			&e.Interaction, &e.Type, &e.ResourceID, &e.Query, &e.Scopes, &e.Outcome, &e.Status, &e.Released, &e.Masked, &e.Withheld); err != nil {
			return nil, fmt.Errorf("store: events: %w", err)
		}
		e.Time = fromMicros(at)
		out = append(out, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: events: %w", err)
	}
	return out, nil
}

func eventsQuery(f audit.Filter) (string, []any) {
	where, args := []string{"seq > ?"}, []any{f.After}
	for _, c := range []struct{ column, value string }{
		{"source", f.Source}, {"client", f.Client}, {"person_issuer", f.PersonIss}, {"person_subject", f.PersonSub},
		{"patient", f.Patient}, {"grant_id", f.Grant}, {"request_id", f.RequestID},
	} {
		if c.value != "" {
			where, args = append(where, c.column+" = ?"), append(args, c.value)
		}
	}
	for _, c := range []struct {
		condition string
		t         time.Time
	}{{"time >= ?", f.From}, {"time < ?", f.Until}} {
		if !c.t.IsZero() {
			where, args = append(where, c.condition), append(args, micros(c.t))
		}
	}
	limit := f.Limit
	if limit <= 0 {
		limit = audit.DefaultLimit
	}
	return `SELECT ` + auditColumns + ` FROM audit_events WHERE ` + strings.Join(where, " AND ") + ` ORDER BY seq LIMIT ?`,
		append(args, min(limit, audit.MaxLimit))
}
