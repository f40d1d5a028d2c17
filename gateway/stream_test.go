package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/upstream"
)

// firehose is an upstream that gives a Bundle of n Observations of a kilobyte
// each without ever holding it, and breaks after the broken-th.
type firehose struct {
	n, broken int
	entry     func(i int) string
}

var _ upstream.Reader = (*firehose)(nil)

func (f *firehose) Read(context.Context, string, string) (*upstream.Answer, error) {
	return nil, io.ErrUnexpectedEOF
}

func (f *firehose) Next(context.Context, string) (*upstream.Answer, error) {
	return nil, io.ErrUnexpectedEOF
}

func (f *firehose) Capabilities(context.Context) (*upstream.Capabilities, error) {
	return &upstream.Capabilities{}, nil
}

func (f *firehose) Search(context.Context, string, string) (*upstream.Answer, error) {
	r, w := io.Pipe()
	go func() {
		_, err := io.WriteString(w, `{"resourceType":"Bundle","type":"searchset","entry":[`)
		for i := 0; i < f.n && err == nil; i++ {
			if i == f.broken {
				_ = w.CloseWithError(io.ErrUnexpectedEOF)
				return
			}
			comma := ","
			if i == 0 {
				comma = ""
			}
			_, err = io.WriteString(w, comma+f.entry(i))
		}
		if err == nil {
			_, err = io.WriteString(w, `]}`)
		}
		_ = w.CloseWithError(err)
	}()
	return &upstream.Answer{Body: r}, nil
}

func kilobyte(owner func(i int) string) func(int) string {
	pad := strings.Repeat("x", 900)
	return func(i int) string {
		return fmt.Sprintf(`{"resource":{"resourceType":"Observation","id":"o-%d","subject":{"reference":"Patient/%s"},"note":[{"text":"%s"}]},"search":{"mode":"match"}}`, i, owner(i), pad)
	}
}

func TestLargeAnswersStreamInBoundedMemory(t *testing.T) {
	owner := func(i int) string {
		if i%3 == 0 {
			return "alice"
		}
		return "bob"
	}
	peak := func(n int) (live uint64, bytes int64) {
		h := openOver(t, &firehose{n: n, broken: -1, entry: kilobyte(owner)}, somewhere(t), 0)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.base+"/Observation", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+alice)
		resp, err := h.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		reader := fhir.NewBundleReader(resp.Body, 1<<20)
		var samples []uint64
		for i := 0; ; i++ {
			e, err := reader.Next()
			if errors.Is(err, io.EOF) {
				slices.Sort(samples)
				return samples[len(samples)/2], bytes
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(e.Resource.Bytes()), "bob") {
				t.Fatal("a foreign entry in the stream")
			}
			bytes += int64(len(e.Resource.Bytes()))
			if i%(n/12) == n/24 {
				samples = append(samples, liveHeap())
			}
		}
	}
	small, _ := peak(3_000)
	large, bytes := peak(90_000) // 90 MB from the upstream, 30 MB to the app
	if bytes < 25<<20 {
		t.Fatalf("only %d bytes arrived", bytes)
	}
	// What varies is what the HTTP stack and earlier tests have about; a Bundle
	// that were held would be 30 or 90 MB.
	t.Logf("live heap %d and %d bytes", small, large)
	if large > small+12<<20 {
		t.Errorf("live heap grew from %d to %d bytes", small, large)
	}
}

// liveHeap is what is held: the least of a few readings, for other goroutines
// allocate between a collection and the reading of it.
func liveHeap() uint64 {
	var m runtime.MemStats
	least := uint64(math.MaxUint64)
	for range 3 {
		runtime.GC()
		runtime.ReadMemStats(&m)
		least = min(least, m.HeapAlloc)
	}
	return least
}

func TestAStreamThatCannotBeFinishedNeverLooksComplete(t *testing.T) {
	everything := func(int) string { return "alice" }
	for name, hose := range map[string]*firehose{
		"the upstream breaks":         {n: 4000, broken: 2500, entry: kilobyte(everything)},
		"an entry is not even JSON":   {n: 4000, broken: -1, entry: spoilt(2500, `{"resource":{"resourceType":"Obs`)},
		"a proof cannot be fetched":   {n: 4000, broken: -1, entry: spoilt(2500, `{"resource":{"resourceType":"Provenance","id":"p","target":[{"reference":"Observation/x"}]},"search":{"mode":"include"}}`)},
		"the upstream breaks at last": {n: 4000, broken: 3999, entry: kilobyte(everything)},
	} {
		t.Run(name, func(t *testing.T) {
			h := openOver(t, hose, somewhere(t), 0)
			r := h.get("/Observation?_revinclude=Provenance:target", alice)
			if r.status != 200 || r.err == nil {
				t.Fatalf("status %d, error %v, %d bytes", r.status, r.err, len(r.body))
			}
			events := h.sink.take()
			if len(events) != 2 || events[0].Outcome != audit.Released || events[1].Outcome != audit.Aborted {
				t.Errorf("%+v", events)
			}
		})
	}
}

func spoilt(at int, entry string) func(int) string {
	good := kilobyte(func(int) string { return "alice" })
	return func(i int) string {
		if i == at {
			return entry
		}
		return good(i)
	}
}

func TestASmallAnswerThatCannotBeFinishedIsAnError(t *testing.T) {
	h := openOver(t, &firehose{n: 40, broken: 20, entry: kilobyte(func(int) string { return "alice" })}, somewhere(t), 0)
	r := h.get("/Observation", alice)
	if r.status != http.StatusBadGateway || r.err != nil || strings.Contains(r.body, "o-1") {
		t.Errorf("%d %v %s", r.status, r.err, r.body)
	}
	if events := h.sink.take(); len(events) != 1 || events[0].Outcome != audit.Failed || events[0].Released != 0 {
		t.Errorf("%+v", events)
	}
}

func somewhere(t *testing.T) fhir.Base {
	t.Helper()
	base, err := fhir.ParseBase("https://ehr.example.org/fhir")
	if err != nil {
		t.Fatal(err)
	}
	return base
}
