package audittest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portico-fhir/portico/gateway/audit"
)

// Keeper is a sink whose events can be read back.
type Keeper interface {
	audit.Sink
	audit.Reader
}

// Event gives a valid event with that id.
func Event(id string) audit.Event {
	return audit.Event{
		ID: id, Time: time.Date(2031, 3, 4, 5, 6, 7, 8000, time.UTC), RequestID: "request-" + id,
		Source: "demo", Client: "app", PersonIss: "https://idp.example", PersonSub: "Zoë",
		Patient: "p-1", Grant: "grant-1", Interaction: "search-type", Type: "Observation", ResourceID: "",
		Query: "category,_count", Scopes: "openid patient/*.rs", Outcome: audit.Released, Status: 200, Released: 3, Masked: 2, Withheld: 1,
	}
}

// RunSink runs the suite; open gives an empty sink each time.
func RunSink(t *testing.T, open func(t *testing.T) Keeper) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Keeper)
	}{
		{"an event with values in its query is refused and not kept", invalid},
		{"an id is kept once, and its neighbours are not hurt", duplicate},
		{"an event is there, whole, as soon as Record returns", whole},
		{"a client that has gone does not lose the event", cancelled},
		{"of many callers at once every event is there, numbered without gaps", concurrent},
		{"a filter gives what fits all its fields", filtered},
		{"events come in pages, oldest first", paged},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

func record(t *testing.T, k Keeper, e audit.Event) {
	t.Helper()
	if err := k.Record(t.Context(), e); err != nil {
		t.Fatalf("Record: %v", err)
	}
}

func events(t *testing.T, k Keeper, f audit.Filter) []audit.Stored {
	t.Helper()
	got, err := k.Events(t.Context(), f)
	if err != nil {
		t.Fatalf("Events: %v", err)
	}
	return got
}

func invalid(t *testing.T, k Keeper) {
	e := Event("1")
	e.Query = "patient=123"
	if err := k.Record(t.Context(), e); err == nil {
		t.Error("accepted")
	}
	if got := events(t, k, audit.Filter{}); len(got) != 0 {
		t.Errorf("kept: %+v", got)
	}
}

func duplicate(t *testing.T, k Keeper) {
	record(t, k, Event("1"))
	again := Event("1")
	again.Patient = "p-2"
	const n = 20
	errs := make([]error, 2*n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[2*i] = k.Record(t.Context(), Event(fmt.Sprint("other-", i))) })
		wg.Go(func() { errs[2*i+1] = k.Record(t.Context(), again) })
	}
	wg.Wait()
	for i, err := range errs {
		if i%2 == 0 && err != nil {
			t.Errorf("a neighbour: %v", err)
		}
		if i%2 == 1 && !errors.Is(err, audit.ErrDuplicate) {
			t.Errorf("a second event with the id: %v, want ErrDuplicate", err)
		}
	}
	got := events(t, k, audit.Filter{})
	if len(got) != n+1 || got[0].Patient != "p-1" {
		t.Errorf("%d events, want %d; the first is of %s", len(got), n+1, got[0].Patient)
	}
}

func whole(t *testing.T, k Keeper) {
	bare := audit.Event{ID: "bare", Time: Event("").Time, Interaction: "read", Outcome: audit.Refused, Status: 401}
	read := Event("read")
	read.Interaction, read.ResourceID, read.Query = "read", "o-1.A", ""
	for i, e := range []audit.Event{Event("1"), bare, read} {
		record(t, k, e)
		got := events(t, k, audit.Filter{After: int64(i)})
		want := []audit.Stored{{Seq: int64(i + 1), Event: e}}
		if d := cmp.Diff(want, got, cmpopts.EquateApproxTime(0)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
}

func cancelled(t *testing.T, k Keeper) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Record(ctx, Event("1")); err != nil {
		t.Errorf("Record: %v", err)
	}
	if got := events(t, k, audit.Filter{}); len(got) != 1 {
		t.Errorf("%d events, want 1", len(got))
	}
}

func concurrent(t *testing.T, k Keeper) {
	const callers, each = 16, 10
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("%d-%d", c, i)
				e := Event(id)
				if err := k.Record(t.Context(), e); err != nil {
					t.Errorf("Record: %v", err)
				}
				got, err := k.Events(t.Context(), audit.Filter{RequestID: e.RequestID})
				if err != nil || len(got) != 1 || got[0].ID != id {
					t.Errorf("not there when Record returned: %d, %v", len(got), err)
				}
			}
		})
	}
	wg.Wait()
	got := events(t, k, audit.Filter{Limit: audit.MaxLimit})
	if len(got) != callers*each {
		t.Fatalf("%d events, want %d", len(got), callers*each)
	}
	last := map[int]int{}
	for i, e := range got {
		if e.Seq != int64(i+1) {
			t.Fatalf("event %d has Seq %d", i+1, e.Seq)
		}
		var c, n int
		if _, err := fmt.Sscanf(e.ID, "%d-%d", &c, &n); err != nil {
			t.Fatal(err)
		}
		if n != last[c] {
			t.Errorf("caller %d: event %d came before event %d", c, n, last[c])
		}
		last[c]++
	}
}

func filtered(t *testing.T, k Keeper) {
	edits := []func(*audit.Event){
		func(*audit.Event) {},
		func(e *audit.Event) { e.Source = "other" },
		func(e *audit.Event) { e.Client = "other" },
		func(e *audit.Event) { e.PersonIss = "other" },
		func(e *audit.Event) { e.PersonSub = "other" },
		func(e *audit.Event) { e.Patient = "other" },
		func(e *audit.Event) { e.Grant = "other" },
		func(e *audit.Event) { e.RequestID = "other" },
		func(e *audit.Event) { e.Time = e.Time.Add(time.Hour) },
	}
	for i, edit := range edits {
		e := Event(fmt.Sprint(i))
		e.RequestID = "r"
		edit(&e)
		record(t, k, e)
	}
	base := Event("")
	for i, c := range []struct {
		f    audit.Filter
		want []int64
	}{
		{audit.Filter{}, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{audit.Filter{Source: "other"}, []int64{2}},
		{audit.Filter{Client: "other"}, []int64{3}},
		{audit.Filter{PersonIss: "other"}, []int64{4}},
		{audit.Filter{PersonSub: "other"}, []int64{5}},
		{audit.Filter{Patient: "other"}, []int64{6}},
		{audit.Filter{Grant: "other"}, []int64{7}},
		{audit.Filter{RequestID: "other"}, []int64{8}},
		{audit.Filter{From: base.Time.Add(time.Hour)}, []int64{9}},
		{audit.Filter{Until: base.Time}, nil},
		{audit.Filter{Until: base.Time.Add(time.Hour), After: 7}, []int64{8}},
		{audit.Filter{Patient: "other", Client: "other"}, nil},
		{audit.Filter{Patient: "OTHER"}, nil},
		{audit.Filter{Patient: "' OR 1=1 --"}, nil},
	} {
		var got []int64
		for _, e := range events(t, k, c.f) {
			got = append(got, e.Seq)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("filter %d (-want +got):\n%s", i, d)
		}
	}
}

func paged(t *testing.T, k Keeper) {
	for i := range 7 {
		record(t, k, Event(fmt.Sprint(i)))
	}
	var got []int64
	var after int64
	for {
		page := events(t, k, audit.Filter{After: after, Limit: 3})
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			got = append(got, e.Seq)
		}
		after = page[len(page)-1].Seq
	}
	if d := cmp.Diff([]int64{1, 2, 3, 4, 5, 6, 7}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
