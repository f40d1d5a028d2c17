package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/demo/records"
)

// Over whole records: no address of the EHR's leaves, whichever way it writes
// its URLs, every link to a file opens for the patient, and none for another.
func TestNoAddressOfTheEHRLeavesAndEveryFileOpens(t *testing.T) {
	h := open(t, 0)
	var people []string
	_, err := records.Generate(records.Options{Seed: 1, Patients: 5, Now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), Base: h.origin + "/fhir"}, func(raw []byte) error {
		if rest, is := strings.CutPrefix(string(raw), `{"resourceType":"Patient","id":"`); is {
			id, _, _ := strings.Cut(rest, `"`)
			people = append(people, id)
		}
		return h.ehr.Load(raw)
	})
	if err != nil {
		t.Fatal(err)
	}
	host, opened := strings.TrimPrefix(h.origin, "http://"), 0
	for _, mode := range []ehr.Mode{0, ehr.AbsoluteURLs, ehr.AbsoluteURLs | ehr.RawBinary} {
		h.ehr.Misbehave(mode)
		for i, id := range people {
			bearer, other := id+":patient/*.rs", people[(i+1)%len(people)]+":patient/*.rs"
			all := h.get("/Patient/"+id+"/$everything", bearer)
			if all.status != http.StatusOK || all.err != nil {
				t.Fatalf("%d %v", all.status, all.err)
			}
			for _, word := range []string{host, h.origin, `"url":"Binary/`, `"url":"documents/`, "/documents/"} {
				if strings.Contains(all.body, word) || strings.Contains(strings.ReplaceAll(all.body, `\/`, "/"), word) {
					t.Errorf("mode %b: %q leaves", mode, word)
				}
			}
			seen := map[string]bool{}
			for _, u := range urlsIn(all.body) {
				if !strings.Contains(u, "/Binary/_") || seen[u] {
					continue
				}
				seen[u] = true
				r := h.get(u, bearer)
				if r.status != http.StatusOK || !strings.HasPrefix(r.body, "%PDF-") || r.header.Get("Content-Type") != "application/pdf" || strings.Contains(r.everything(), host) {
					t.Errorf("mode %b: %d %v", mode, r.status, r.header)
				}
				if r := h.get(u, other); r.status != http.StatusNotFound {
					t.Errorf("mode %b: somebody else gets %d", mode, r.status)
				}
				opened++
			}
		}
	}
	if opened < 20 {
		t.Errorf("only %d files were opened", opened)
	}
}
