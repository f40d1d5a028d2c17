package store_test

import (
	"context"

	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/audit/audittest"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/services"
	"github.com/portico-fhir/portico/smart/token"
)

// Nothing is promised that cannot be written, whatever else is in its batch, and
// with room again everything goes on by itself.
func TestAFullDiskUnderPostgreSQL(t *testing.T) {
	p := services.StartPostgres(t, services.PostgresOptions{Durable: true, FullDisk: true})
	s := openAt(t, at(p.Database(t)))
	var mu sync.Mutex
	var promised, refused []string
	record := func(id string) {
		err := s.Record(t.Context(), audittest.Event(id))
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			promised = append(promised, id)
		case fault.KindOf(err) == fault.Unavailable:
			refused = append(refused, id)
		default:
			t.Errorf("%s: %v is %v", id, err, fault.KindOf(err))
		}
	}
	batches := func(of string, n int) {
		for batch := range n {
			var all sync.WaitGroup
			for i := range 40 {
				all.Go(func() { record(fmt.Sprint(of, "-", batch, "-", i)) })
			}
			all.Wait()
		}
	}
	batches("before", 2)
	p.Fill(t, true)
	for end := time.Now().Add(time.Minute); len(refused) < 100 && time.Now().Before(end); {
		batches(fmt.Sprint("full", time.Now()), 2)
	}
	if len(refused) < 100 {
		t.Fatalf("%d events were refused on a full disk", len(refused))
	}
	if err := s.Ping(t.Context()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Ping on a full disk: %v", err)
	}
	now := time.Now()
	for i := range 200 { // until a page of theirs is full too
		g := token.Grant{ID: fmt.Sprint("g", i), Created: now, Expires: now.Add(time.Hour)}
		err := s.CreateGrant(t.Context(), g, token.Code{Digest: token.DigestOf(g.ID), Expires: g.Expires})
		if err != nil && fault.KindOf(err) != fault.Unavailable {
			t.Fatalf("a grant on a full disk: %v", err)
		}
	}
	if _, err := s.Keys(t.Context()); err != nil {
		t.Errorf("what is there can be read: %v", err)
	}
	p.Fill(t, false)
	batches("after", 1)
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping with room again: %v", err)
	}
	checkTrail(t, s.Events, promised, refused)
	if last := promised[len(promised)-40:]; last[0][:5] != "after" {
		t.Errorf("not everything was taken with room again: %v", last)
	}
}

// checkTrail wants every promised event once, none of the others, and no gap.
func checkTrail(t *testing.T, events func(context.Context, audit.Filter) ([]audit.Stored, error), promised, refused []string) {
	t.Helper()
	kept := map[string]bool{}
	for after := int64(0); ; {
		some, err := events(t.Context(), audit.Filter{After: after, Limit: audit.MaxLimit})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range some {
			after++
			if e.Seq != after || kept[e.ID] {
				t.Fatalf("event %d has the number %d", after, e.Seq)
			}
			kept[e.ID] = true
		}
		if len(some) == 0 {
			break
		}
	}
	for _, id := range promised {
		if !kept[id] {
			t.Errorf("%s was promised and is gone", id)
		}
	}
	for _, id := range refused {
		if kept[id] {
			t.Errorf("%s was refused and is there", id)
		}
	}
	if len(kept) != len(promised) {
		t.Errorf("%d events, %d promised", len(kept), len(promised))
	}
}
