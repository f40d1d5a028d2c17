package fhir_test

import (
	"bytes"
	"testing"

	"github.com/portico-fhir/portico/fhir"
)

// FuzzSplice replaces values inside of a resource, chosen by the bits of pick,
// and asks whether everything else is as it was.
func FuzzSplice(f *testing.F) {
	for _, seed := range []string{
		`{"resourceType":"Patient","id":"a"}`,
		`{"resourceType":"Observation", "subject":{"reference":"Patient\/a"},"valueQuantity":{"value":1.00},"note":[{"text":"x"},null,{}]}`,
		` {"resourceType":"Appointment","participant":[{"actor":{"reference":"Patient/b"}},{"actor":{"reference":"Patient/a"}}]} `,
		`{"resourceType":"Basic","a":[[1,[2e9]],"\u00e9\ud83d\ude00",-0.0,true],"":{"":""}}`,
	} {
		for _, pick := range []uint64{0, 2, 0b1010, ^uint64(0) - 1} {
			f.Add([]byte(seed), pick)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, pick uint64) {
		r, err := fhir.ParseResource(raw)
		if err != nil {
			return
		}
		const with = `{"masked":true}`
		begin, _ := r.Root().Span()
		var want []byte
		var edits []fhir.Edit
		n, at := 0, begin
		r.Root().Descend(func(v fhir.Node) {
			start, end := v.Span()
			chosen := n > 0 && n < 64 && pick&(1<<n) != 0 // never the whole
			n++
			if !chosen {
				return
			}
			edits = append([]fhir.Edit{{Start: start, End: end, With: []byte(with)}}, edits...)
			if start >= at { // not inside of one that is replaced
				want = append(append(want, raw[at:start]...), with...)
				at = end
			}
		})
		_, end := r.Root().Span()
		want = append(want, raw[at:end]...)
		got := r.Splice(edits)
		if !bytes.Equal(got, want) {
			t.Fatalf("got  %q\nwant %q", got, want)
		}
		if _, err := fhir.ParseNode(got); err != nil {
			t.Fatalf("no JSON any more: %v\n%q", err, got)
		}
	})
}
