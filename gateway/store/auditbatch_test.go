package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/internal/services"
)

// A batch is numbered in order and without gaps around what is there already or
// twice in it, which is told to whoever gave it and to nobody else.
func TestABatchOfEventsIsNumberedWithoutGaps(t *testing.T) {
	for name, options := range map[string]func(*testing.T) Options{
		"SQLite":     func(t *testing.T) Options { return Options{Path: filepath.Join(t.TempDir(), "a.sqlite")} },
		"PostgreSQL": func(t *testing.T) Options { return Options{Postgres: Postgres{URL: services.Database(t)}} },
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), options(t))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			var want []string
			for round := range 3 {
				var batch []waiting
				var wrong []bool // for each, whether it is a duplicate
				add := func(id string, duplicate bool) {
					batch = append(batch, waiting{event: audit.Event{
						ID: id, Time: time.Unix(int64(1000+len(want)), 0), Interaction: "read", Patient: "it's \"a\" {b},\\ ü\nNULL", Outcome: audit.Released, Status: len(want),
					}})
					wrong = append(wrong, duplicate)
					if !duplicate {
						want = append(want, id)
					}
				}
				for i := range []int{1, 5, 40}[round] {
					id := fmt.Sprintf("%d-%d", round, 100-i) // the ids are in another order than the events
					add(id, false)
					if i%3 == 1 {
						add(id, true)
						add("0-100", true)
					}
				}
				results, err := s.audit.commit(batch)
				if err != nil {
					t.Fatal(err)
				}
				for i, err := range results {
					if errors.Is(err, audit.ErrDuplicate) != wrong[i] || err != nil && !wrong[i] {
						t.Errorf("round %d, %s: %v", round, batch[i].event.ID, err)
					}
				}
			}
			got, err := s.Events(context.Background(), audit.Filter{})
			if err != nil || len(got) != len(want) {
				t.Fatalf("%d events of %d, %v", len(got), len(want), err)
			}
			for i, e := range got {
				if e.Seq != int64(i+1) || e.ID != want[i] || e.Status != i || e.Time.Unix() != int64(1000+i) || e.Patient != "it's \"a\" {b},\\ ü\nNULL" {
					t.Errorf("%d: %+v, want %s", i, e, want[i])
				}
			}
		})
	}
}
