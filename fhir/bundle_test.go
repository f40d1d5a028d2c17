package fhir_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/fhir"
)

func readAll(s string) (entries []fhir.Entry, b *fhir.BundleReader, err error) {
	b = fhir.NewBundleReader(strings.NewReader(s), 1<<20)
	for {
		e, err := b.Next()
		if errors.Is(err, io.EOF) {
			return entries, b, nil
		}
		if err != nil {
			return entries, b, err
		}
		entries = append(entries, e)
	}
}

func TestBundleReaderEndsWithAnErrorWhenTheBundleIsNotWhole(t *testing.T) {
	for name, s := range map[string]string{
		"empty":              ``,
		"HTML":               `<html></html>`,
		"another resource":   `{"resourceType":"Patient","id":"a"}`,
		"no type":            `{"entry":[]}`,
		"array":              `[]`,
		"cut in an entry":    `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Pat`,
		"cut after an entry": `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","id":"a"}}`,
		"cut after entries":  `{"resourceType":"Bundle","entry":[]`,
		"two entry members":  `{"resourceType":"Bundle","entry":[],"entry":[{"resource":{"resourceType":"Patient","id":"a"}}]}`,
		"entry is an object": `{"resourceType":"Bundle","entry":{"resource":{}}}`,
		"second value":       `{"resourceType":"Bundle"} {}`,
		"negative total":     `{"resourceType":"Bundle","total":-1}`,
		"total is text":      `{"resourceType":"Bundle","total":"5x"}`,
		"member too large":   `{"resourceType":"Bundle","meta":{"x":"` + strings.Repeat("a", 1<<20) + `"},"entry":[]}`,
		"entry too large":    `{"resourceType":"Bundle","entry":[{"x":"` + strings.Repeat("a", 1<<20) + `"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := readAll(s); err == nil {
				t.Error("was accepted")
			}
		})
	}
}

func TestBundleReaderWithholdsOneBadEntryAndReadsTheOthers(t *testing.T) {
	entries, b, err := readAll(`{"link":[{"relation":"next","url":"http://ehr/x?p=2"}],"entry":[
		{"resource":{"resourceType":"Observation","id":"a","subject":1,"subject":2}},
		{"resource":{"resourceType":"Observation","id":"b"},"search":{"mode":"match"},"fullUrl":"urn:x"},
		{"resource":{"resourceType":"Observation","id":"\ud800"}}, {"request":{}} ],"total":4,"type":"searchset","resourceType":"Bundle"}`)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 4 {
		t.Fatalf("%d entries", len(entries))
	}
	for _, i := range []int{0, 2, 3} {
		if entries[i].Err == nil || entries[i].Resource != nil {
			t.Errorf("entry %d was trusted", i)
		}
	}
	if e := entries[1]; e.Err != nil || e.Resource.ID() != "b" || e.Mode != "match" || string(e.Resource.Bytes()) != `{"resourceType":"Observation","id":"b"}` {
		t.Errorf("entry 1: %+v", e)
	}
	if b.Total() != 4 || b.NextLink() != "http://ehr/x?p=2" || b.Type() != "searchset" {
		t.Errorf("total %d, next %q, type %q", b.Total(), b.NextLink(), b.Type())
	}
}

// generated gives a Bundle of n entries without holding it.
func generated(n int) io.Reader {
	r, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, `{"resourceType":"Bundle","entry":[`)
		pad := strings.Repeat("x", 1000)
		for i := range n {
			if i > 0 {
				_, _ = io.WriteString(w, ",")
			}
			_, _ = fmt.Fprintf(w, `{"resource":{"resourceType":"Observation","id":"o-%d","note":[{"text":"%s"}]}}`, i, pad)
		}
		_, _ = io.WriteString(w, `]}`)
		_ = w.Close()
	}()
	return r
}

func TestBundleReaderMemoryDoesNotGrowWithTheBundle(t *testing.T) {
	live := func(n int) uint64 {
		b := fhir.NewBundleReader(generated(n), 1<<20)
		var most uint64
		for i := 0; ; i++ {
			if _, err := b.Next(); errors.Is(err, io.EOF) {
				return most
			} else if err != nil {
				t.Fatal(err)
			}
			if i%(n/4) == n/8 {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
		}
	}
	small, large := live(400), live(40_000) // 0.4 MB and 40 MB
	if large > small+2<<20 {
		t.Errorf("live heap grew from %d to %d bytes", small, large)
	}
}

// longWinded gives an entry with a text of 8 MiB, and counts what was taken.
type longWinded struct{ taken int }

func (e *longWinded) Read(p []byte) (int, error) {
	if e.taken > 8<<20 {
		return 0, io.EOF
	}
	head := `{"resourceType":"Bundle","entry":[{"x":"`
	n := 0
	if e.taken < len(head) {
		n = copy(p, head[e.taken:])
	}
	for ; n < len(p); n++ {
		p[n] = 'a'
	}
	e.taken += n
	return n, nil
}

func TestAnEntryOverTheLimitIsNotReadToItsEnd(t *testing.T) {
	source := &longWinded{}
	if _, err := fhir.NewBundleReader(source, 1<<20).Next(); err == nil {
		t.Error("was accepted")
	}
	if source.taken > 2<<20 {
		t.Errorf("%d bytes were read for an entry of at most 1 MiB", source.taken)
	}
}

func FuzzBundleReader(f *testing.F) {
	f.Add([]byte(`{"resourceType":"Bundle","type":"searchset","total":1,"link":[{"relation":"next","url":"u"}],"entry":[{"fullUrl":"f","resource":{"resourceType":"Patient","id":"a"},"search":{"mode":"match"}}]}`))
	f.Add([]byte(`{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","id":"a","id":"b"}},{}]}`))
	f.Add([]byte(`{"entry":[{}],"resourceType":"Bundle"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := fhir.NewBundleReader(strings.NewReader(string(raw)), 1<<16)
		for range len(raw) + 2 {
			e, err := b.Next()
			if err != nil {
				return
			}
			if e.Resource == nil {
				if e.Err == nil {
					t.Fatal("an entry without resource and without reason")
				}
				continue
			}
			// What was accepted is accepted again from its own bytes.
			again, err := fhir.ParseResource(e.Resource.Bytes())
			if err != nil || again.Type() != e.Resource.Type() || again.ID() != e.Resource.ID() {
				t.Fatalf("accepted inside a Bundle but not alone: %v", err)
			}
		}
		t.Fatal("more entries than bytes")
	})
}

func FuzzResolve(f *testing.F) {
	base, err := fhir.ParseBase("https://ehr.example.org/fhir")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"Patient/a", "https://ehr.example.org/fhir/Patient/a/_history/1", "#a", "urn:uuid:x", "https://ehr.example.org/fhir2/Patient/a", "Patient/a?b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := base.Resolve(s)
		if r.Where != fhir.Local {
			return
		}
		if !fhir.ValidID(r.ID) || !strings.Contains(s, r.Type+"/"+r.ID) {
			t.Fatalf("%q resolved to %+v", s, r)
		}
	})
}
