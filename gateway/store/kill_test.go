package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/audit/audittest"
	"github.com/portico-fhir/portico/gateway/store"
	"github.com/portico-fhir/portico/internal/services"
)

const killedPlace = "STORE_KILLED_PLACE"

// TestRecordUntilKilled is the process that TestWhatWasPromisedIsThereAfterAKill
// starts and kills; alone it does nothing.
func TestRecordUntilKilled(t *testing.T) {
	place := os.Getenv(killedPlace)
	if place == "" {
		return
	}
	s, err := store.Open(context.Background(), at(place))
	if err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for worker := range 8 {
		writers.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d", worker, i)
				if err := s.Record(context.Background(), audittest.Event(id)); err != nil {
					return
				}
				fmt.Println("promised", id)
			}
		})
	}
	writers.Wait() // until it is killed, or the database is
	_ = s.Close()
}

// durablePostgres is a server of its own that writes to the disk, as one in use.
func durablePostgres(t testing.TB) store.Options {
	return at(services.StartPostgres(t, services.PostgresOptions{Durable: true}).Database(t))
}

func TestWhatWasPromisedIsThereAfterAKill(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "killed.sqlite")
		promised := recordUntil(t, path, func(child *os.Process) error { return child.Kill() }) // SIGKILL, with others still writing
		checkPromised(t, path, promised)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		p := services.StartPostgres(t, services.PostgresOptions{Durable: true})
		place := p.Database(t)
		promised := recordUntil(t, place, func(child *os.Process) error { return child.Kill() })
		checkPromised(t, place, promised)
	})
	t.Run("PostgreSQL itself is killed", func(t *testing.T) {
		p := services.StartPostgres(t, services.PostgresOptions{Durable: true})
		place := p.Database(t)
		promised := recordUntil(t, place, func(*os.Process) error {
			p.Kill(t)
			return nil
		})
		p.Start(t)
		checkPromised(t, place, promised)
	})
}

// recordUntil records in a process of its own, calls stop after 300 events and
// gives the ids of all events that were promised.
func recordUntil(t *testing.T, place string, stop func(*os.Process) error) []string {
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRecordUntilKilled$")
	child.Env = append(os.Environ(), killedPlace+"="+place)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var promised []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		id, ok := strings.CutPrefix(lines.Text(), "promised ")
		if !ok {
			continue
		}
		if promised = append(promised, id); len(promised) == 300 {
			if err := stop(child.Process); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait() // it was killed, or has nothing left to do
	if len(promised) < 300 {
		t.Fatalf("only %d events were promised", len(promised))
	}
	return promised
}

// keptInOrder gives the ids of the events in the audit, whose numbers have no gap.
func keptInOrder(t *testing.T, s *store.Store) map[string]bool {
	t.Helper()
	events, err := s.Events(t.Context(), audit.Filter{Limit: audit.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]bool{}
	for i, e := range events {
		kept[e.ID] = true
		if e.Seq != int64(i+1) {
			t.Fatalf("event %d has the number %d", i+1, e.Seq)
		}
	}
	return kept
}

func checkPromised(t *testing.T, place string, promised []string) {
	t.Helper()
	s := openAt(t, at(place))
	kept := keptInOrder(t, s)
	for _, id := range promised {
		if !kept[id] {
			t.Errorf("event %s was promised and is gone", id)
		}
	}
	if len(promised) > len(kept) {
		t.Errorf("%d were promised, %d are there", len(promised), len(kept))
	}
}
