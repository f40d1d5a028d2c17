package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/portico-fhir/portico/gateway"
)

// marked is what every entry that must not leave holds.
const marked = "FOREIGN"

// drawn is an entry of an upstream's Bundle, and the resource in it when that is
// alice's own.
type drawn struct{ entry, own string }

// drawOwn makes a resource of alice's, awkwardly written.
func drawOwn(t *rapid.T, i int) drawn {
	typ, element := drawType(t)
	members := []string{
		fmt.Sprintf(`"resourceType":%q`, typ), fmt.Sprintf(`"id":"own-%d"`, i),
		fmt.Sprintf(`%q:{"reference":"Patient/alice"}`, element),
		rapid.SampledFrom([]string{`"text":{"div":"é\u00e9 \/ 😀"}`, `"_status":null`, `"n": 1.00 `, "\n\t\"x\" : [ { } , [ ] ]"}).Draw(t, "more"),
	}
	own := "{" + strings.Join(rapid.Permutation(members).Draw(t, "order"), ",") + "}"
	return drawn{entry: inEntry(t, own, "match"), own: own}
}

// drawForeign makes an entry that is not certainly alice's.
func drawForeign(t *rapid.T, i int) drawn {
	typ, element := drawType(t)
	alice, other := `{"reference":"Patient/alice"}`, `{"reference":"Patient/`+marked+`"}`
	owner := rapid.SampledFrom([]string{
		fmt.Sprintf(`%q:%s`, element, other),
		fmt.Sprintf(`%q:[%s,%s]`, element, alice, other),
		fmt.Sprintf(`%q:%s,%q:%s`, element, other, element, alice), // twice
		fmt.Sprintf(`%q:%s,%q:%s`, element, alice, element, other),
		fmt.Sprintf(`%q:%s,%q:%s`, element, other, strings.ToUpper(element[:1])+element[1:], alice),
		fmt.Sprintf(`"\u%04x%s":%s`, element[0], element[1:], other),
		fmt.Sprintf(`%q:{"reference":"https://elsewhere.example/fhir/Patient/alice"}`, element),
		fmt.Sprintf(`%q:{"identifier":{"value":"alice"},"display":"Patient/alice"}`, element),
		fmt.Sprintf(`%q:{"reference":"#alice"}`, element),
		fmt.Sprintf(`%q:null`, element),
		fmt.Sprintf(`"performer":[%s]`, alice),
		fmt.Sprintf(`%q:{"reference":"Patient/alice2"}`, element),
		fmt.Sprintf(`%q:{"reference":"Patient/ALICE"}`, element),
		fmt.Sprintf(`%q:{"reference":"Patient/alice/_history/1/x"}`, element),
	}).Draw(t, "owner")
	raw := fmt.Sprintf(`{"resourceType":%q,"id":"%s-%d",%s,"note":[{"text":"%s"}]}`, typ, marked, i, owner, marked)
	return drawn{entry: inEntry(t, raw, rapid.SampledFrom([]string{"match", "include", "outcome", "", "other"}).Draw(t, "mode"))}
}

func drawType(t *rapid.T) (typ, element string) {
	one := rapid.SampledFrom([][2]string{
		{"Observation", "subject"}, {"Observation", "subject"}, {"Condition", "subject"}, {"AllergyIntolerance", "patient"}, {"Coverage", "beneficiary"},
	}).Draw(t, "type")
	return one[0], one[1]
}

func inEntry(t *rapid.T, raw, mode string) string {
	members := []string{`"resource":` + raw, fmt.Sprintf(`"search":{"mode":%q}`, mode), `"fullUrl":"urn:uuid:` + marked + `"`}
	return "{" + strings.Join(rapid.Permutation(members).Draw(t, "entry"), ",") + "}"
}

// Whatever stands in a Bundle and however it is written: alice's own resources
// of the type come back as they are, in their order, and not a byte of the rest.
func TestNoByteOfAForeignEntryEverLeaves(t *testing.T) {
	ehr := &scripted{}
	var houses []*house
	for _, hold := range []int{0, 1} { // whole, and streamed from the first entry on
		houses = append(houses, openOver(t, ehr, somewhere(t), 0, func(o *gateway.Options) { o.HoldBytes = hold }))
	}
	rapid.Check(t, func(t *rapid.T) {
		var entries, want []string
		for i := range rapid.IntRange(0, 12).Draw(t, "entries") {
			e := drawForeign
			if rapid.Bool().Draw(t, "own") {
				e = drawOwn
			}
			one := e(t, i)
			entries = append(entries, one.entry)
			if strings.Contains(one.own, `"Observation"`) { // of the type searched
				want = append(want, one.own)
			}
		}
		body := `{"resourceType":"Bundle","total":1000,"entry":[` + strings.Join(entries, " , ") + `]}`
		ehr.search = func(string) string { return body }
		for _, h := range houses {
			r := h.get("/Observation", alice)
			if r.status != http.StatusOK || r.err != nil {
				t.Fatalf("%d %v %s", r.status, r.err, r.body)
			}
			if seen := r.everything(); strings.Contains(seen, marked) {
				t.Fatalf("something foreign left:\n%s\nof\n%s", seen, body)
			}
			if got := resourcesOf(r.body); strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	})
}

// resourcesOf cuts the resources out of a Bundle of ours by the text around them.
func resourcesOf(bundle string) []string {
	var out []string
	for _, part := range strings.Split(bundle, `","resource":`)[1:] {
		raw, _, _ := strings.Cut(part, `,"search":{"mode":"match"}}`)
		out = append(out, raw)
	}
	return out
}
