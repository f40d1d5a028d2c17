package store

import (
	"context"
	"fmt"

	"github.com/portico-fhir/portico/gateway/audit"
)

// PostgreSQL is asked over a network, where each statement costs a way there and
// back: it takes all events of a batch in one, as a list for each column. That
// statement is the same however many they are, so it is parsed once.

// eventRow are the values of an event in the order of eventColumns.
func eventRow(e *audit.Event) []any {
	return []any{
		e.ID, micros(e.Time), e.RequestID, e.Source, e.Client, e.PersonIss, e.PersonSub, e.Patient, e.Grant, e.Interaction, e.Type, e.ResourceID,
		e.Query, e.Scopes, e.Outcome, int64(e.Status), int64(e.Released), int64(e.Masked), int64(e.Withheld),
	}
}

const (
	eventColumns = `id, time, request_id, source, client, person_issuer, person_subject, patient, grant_id,
	interaction, type, resource_id, query, scopes, outcome, status, released, masked, withheld`
	auditColumns = `seq, ` + eventColumns

	four = `?::text[], ?::text[], ?::text[], ?::text[], `
	// insertEvents numbers what is not there yet from the last number on, in order.
	insertEvents = `INSERT INTO audit_events (` + auditColumns + `)
	SELECT (` + lastEvent + `) + row_number() OVER (ORDER BY place), ` + eventColumns + `
	FROM unnest(?::text[], ?::bigint[], ` + four + four + four + `?::text[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[])
		WITH ORDINALITY AS given (` + eventColumns + `, place)
	WHERE NOT EXISTS (SELECT 1 FROM audit_events known WHERE known.id = given.id)
	ORDER BY place RETURNING id`
)

// appendAll writes a batch with one statement.
func appendAll(ctx context.Context, tx txn, batch []waiting, results []error) error {
	place := make(map[string]int, len(batch))
	lists := make([]any, len(eventRow(&audit.Event{})))
	for i := range batch {
		e := &batch[i].event
		results[i] = audit.ErrDuplicate
		if _, twice := place[e.ID]; twice {
			continue
		}
		place[e.ID] = i
		for c, v := range eventRow(e) {
			switch v := v.(type) {
			case string:
				all, _ := lists[c].([]string)
				lists[c] = append(all, v)
			case int64:
				all, _ := lists[c].([]int64)
				lists[c] = append(all, v)
			}
		}
	}
	written, err := tx.QueryContext(ctx, insertEvents, lists...)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	defer written.Close() //nolint:errcheck // written.Err tells
	for written.Next() {
		var id string
		if err := written.Scan(&id); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		results[place[id]] = nil
	}
	if err := written.Err(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
