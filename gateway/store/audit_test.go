package store_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/audit/audittest"
	"github.com/portico-fhir/portico/gateway/store"
)

func TestAuditEventsCannotBeChangedOrDeleted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "portico.sqlite")
	s := openAt(t, store.Options{Path: path})
	for i := range 3 {
		if err := s.Record(t.Context(), audittest.Event(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	const columns = `id, time, request_id, source, client, person_issuer, person_subject, patient, grant_id, interaction, type,
		resource_id, query, outcome, status, released, masked, withheld`
	for name, statement := range map[string]string{
		"update":            `UPDATE audit_events SET patient = 'x' WHERE seq = 2`,
		"update of nothing": `UPDATE audit_events SET patient = patient`,
		"delete":            `DELETE FROM audit_events WHERE seq = 3`,
		"replace by number": `INSERT OR REPLACE INTO audit_events (seq, ` + columns + `) SELECT 2, 'new', time, request_id, source, client, person_issuer, person_subject, 'x', grant_id, interaction, type, resource_id, query, outcome, status, released, masked, withheld FROM audit_events WHERE seq = 2`,
		"replace by id":     `INSERT OR REPLACE INTO audit_events (seq, ` + columns + `) SELECT 9, ` + columns + ` FROM audit_events WHERE seq = 2`,
		"insert in between": `INSERT INTO audit_events (seq, ` + columns + `) SELECT 0, 'new', time, request_id, source, client, person_issuer, person_subject, 'x', grant_id, interaction, type, resource_id, query, outcome, status, released, masked, withheld FROM audit_events WHERE seq = 2`,
		"upsert":            `INSERT INTO audit_events (seq, ` + columns + `) SELECT 2, ` + columns + ` FROM audit_events WHERE seq = 2 ON CONFLICT DO UPDATE SET patient = 'x'`,
	} {
		if err := rawErr(path, statement); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := s.Events(t.Context(), audit.Filter{Patient: "p-1"})
	if err != nil || len(got) != 3 {
		t.Errorf("%d events left, %v", len(got), err)
	}
}

func TestRecordFailsWhenTheDiskIsFullAndRecovers(t *testing.T) {
	s := open(t)
	if err := s.LimitPages(t.Context(), 1); err != nil { // SQLite takes the present size as the least
		t.Fatal(err)
	}
	var kept, failed int
	for i := range 2000 {
		if err := s.Record(t.Context(), audittest.Event(fmt.Sprint("full-", i))); err == nil {
			kept++
		} else if failed++; failed > 3 {
			break
		}
	}
	if failed == 0 {
		t.Fatal("a full disk was never an error")
	}
	if err := s.LimitPages(t.Context(), 1<<30); err != nil {
		t.Fatal(err)
	}
	if err := s.Record(t.Context(), audittest.Event("after")); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	got, err := s.Events(t.Context(), audit.Filter{Limit: audit.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != kept+1 || got[len(got)-1].ID != "after" || got[len(got)-1].Seq != int64(kept+1) {
		t.Errorf("%d events are there, %d were promised", len(got), kept+1)
	}
}

func TestRecordFailsWhenTheFileCannotBeWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "portico.sqlite")
	s := openAt(t, store.Options{Path: path})
	if err := s.Record(t.Context(), audittest.Event("1")); err != nil {
		t.Fatal(err)
	}
	raw(t, path, `DROP TABLE audit_events`)
	if err := s.Record(t.Context(), audittest.Event("2")); err == nil {
		t.Error("promised without a table")
	}
}

func TestRecordFailsWhenReadOnly(t *testing.T) {
	s := open(t)
	if err := s.ReadOnly(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := s.Record(t.Context(), audittest.Event("1")); err == nil {
		t.Error("promised although nothing can be written")
	}
	if err := s.ReadOnly(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := s.Record(t.Context(), audittest.Event("1")); err != nil {
		t.Errorf("writable again: %v", err)
	}
}

// TestCloseWritesEveryPromisedEvent closes while many record: whoever was told
// "durable" finds the event, and whoever comes too late is told so.
func TestCloseWritesEveryPromisedEvent(t *testing.T) {
	forEachDatabase(t, testCloseWritesEveryPromisedEvent)
}

func testCloseWritesEveryPromisedEvent(t *testing.T, on database) {
	o := on.options(t)
	s := openAt(t, o)
	var kept sync.Map
	var count, refused atomic.Int64
	var wg sync.WaitGroup
	begun := make(chan struct{}, 32)
	for c := range 32 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d", c, i)
				err := s.Record(t.Context(), audittest.Event(id))
				if i == 0 {
					begun <- struct{}{}
				}
				if errors.Is(err, audit.ErrClosed) {
					refused.Add(1)
					return
				}
				if err != nil {
					t.Errorf("Record: %v", err)
					return
				}
				kept.Store(id, true)
				count.Add(1)
			}
		})
	}
	<-begun
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if refused.Load() != 32 {
		t.Errorf("%d callers were refused, want 32", refused.Load())
	}
	again := openAt(t, o)
	got, err := again.Events(t.Context(), audit.Filter{Limit: audit.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(got)) != count.Load() {
		t.Errorf("%d events are there, %d were promised", len(got), count.Load())
	}
	for _, e := range got {
		if _, ok := kept.Load(e.ID); !ok {
			t.Errorf("event %s is there although its caller was not told", e.ID)
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	for _, c := range []struct {
		name    string
		on      database
		callers int
	}{{"SQLite", database{sqliteFile}, 1}, {"SQLite", database{sqliteFile}, 64}, {"PostgreSQL", database{durablePostgres}, 1}, {"PostgreSQL", database{durablePostgres}, 64}} {
		callers := c.callers
		b.Run(fmt.Sprintf("%s/callers=%d", c.name, callers), func(b *testing.B) {
			s := c.on.open(b)
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range callers {
				wg.Go(func() {
					for {
						n := next.Add(1)
						if n > int64(b.N) {
							return
						}
						if err := s.Record(b.Context(), audittest.Event(fmt.Sprint(n))); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// SQLite, sqlite.org/pragma.html#pragma_synchronous: with WAL only FULL (2) has
// a commit on the disk when it returns.
func TestACommitIsOnTheDiskWhenItReturns(t *testing.T) {
	s := open(t)
	for name, want := range map[string]string{"synchronous": "2", "journal_mode": "wal"} {
		if got, err := s.Pragma(t.Context(), name); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", name, got, want, err)
		}
	}
}

func TestADiskThatDoesNotKeepUpIsAnErrorAndNoBacklogWithoutEnd(t *testing.T) {
	if err := store.Backlog(); !errors.Is(err, store.ErrBehind) {
		t.Errorf("got %v", err)
	}
}
