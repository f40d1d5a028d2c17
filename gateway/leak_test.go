package gateway_test

import (
	"fmt"
	"io"
	"math/bits"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/internal/demo/ehr"
)

// attacks is what alice's app sends to get at bob's record. Numbers are the
// families of bypasses that are known of such gateways.
func attacks() []struct{ method, path, form string } {
	out := []struct{ method, path, form string }{
		// joins
		{"GET", "/Patient?_id=alice&_revinclude=Observation:subject", ""},
		{"GET", "/Observation?_include:iterate=Observation:subject&_revinclude:iterate=Observation:subject", ""},
		{"GET", "/Patient?_has:Observation:patient:code=x", ""},
		{"GET", "/Practitioner?_revinclude=Observation:performer", ""},
		{"GET", "/Observation?_include=*", ""},
		// lists, duplicates, conflicts
		{"GET", "/Observation?patient=alice," + bobID, ""},
		{"GET", "/Observation?patient=alice&patient=" + bobID, ""},
		{"GET", "/Observation?patient=alice&subject=Patient/" + bobID, ""},
		{"GET", "/Observation?subject=Patient/" + bobID, ""},
		{"POST", "/Observation/_search?patient=alice", "patient=" + bobID},
		{"POST", "/Observation/_search", "patient=" + bobID},
		{"POST", "/Observation/_search?patient=" + bobID, "patient=alice"},
		{"GET", "/Appointment?actor=Patient/" + bobID, ""},
		{"GET", "/Appointment?actor=Practitioner/dr,Patient/" + bobID, ""},
		// odd spellings
		{"GET", "/Observation?%70atient=" + bobID, ""},
		{"GET", "/Observation?PATIENT=" + bobID, ""},
		{"GET", "/Observation?patient%00=alice&patient=" + bobID, ""},
		{"GET", "/Observation?patient=alice;patient=" + bobID, ""},
		{"GET", "/Observation/..%2fPatient/" + bobID, ""},
		{"GET", "/Observation/%2e%2e/Patient/" + bobID, ""},
		{"GET", "//Patient/" + bobID, ""},
		{"GET", "/Patient/" + bobID + "/", ""},
		{"GET", "/Patient;x=y/" + bobID, ""},
		{"GET", "/patient/" + bobID, ""},
		{"GET", "/./Patient/" + bobID, ""},
		// modifiers and chains
		{"GET", "/Observation?patient:Patient=" + bobID, ""},
		{"GET", "/Observation?patient:identifier=urn:x|" + secret, ""},
		{"GET", "/Observation?patient.identifier=" + secret, ""},
		{"GET", "/Observation?patient.name=" + secret, ""},
		{"GET", "/Observation?subject:missing=true", ""},
		{"GET", "/Observation?subject:missing=false", ""},
		{"GET", "/Observation?subject:not=alice", ""},
		{"GET", "/Observation?_filter=subject eq Patient/x", ""},
		{"GET", "/Observation?_query=x", ""},
		{"GET", "/Observation?_text=x&_content=x", ""},
		{"GET", "/Observation?_list=x", ""},
		{"GET", "/Observation?_contained=both", ""},
		{"GET", "/?_type=Patient,Observation", ""},
		{"GET", "?_type=Patient,Observation", ""},
		// other people by what is known of them
		{"GET", "/Patient?identifier=urn:x|" + secret, ""},
		{"GET", "/Patient?family=" + secret, ""},
		{"GET", "/Patient?_id=alice," + bobID, ""},
		{"GET", "/Patient?_id=" + bobID, ""},
		{"GET", "/Patient?link=Patient/" + bobID, ""},
		{"GET", "/Patient", ""},
		// counts
		{"GET", "/Observation?_summary=count", ""},
		{"GET", "/Observation?_count=0&_total=accurate", ""},
		{"GET", "/Observation?identifier=" + secret + "&_summary=count", ""},
		// owner hidden
		{"GET", "/Observation?_elements=code", ""},
		{"GET", "/Observation?_summary=true", ""},
		// versions, operations, writes, system level
		{"GET", "/Observation/observation-" + bobID + "/_history/1", ""},
		{"GET", "/Observation/_history", ""},
		{"GET", "/_history", ""},
		{"GET", "/Patient/" + bobID + "/$everything", ""},
		{"GET", "/Patient/$everything", ""},
		{"GET", "/Patient/" + bobID + "/Observation", ""},
		{"GET", "/$graphql?query={x}", ""},
		{"POST", "/", `{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Patient/` + bobID + `"}}]}`},
		{"PUT", "/Observation/observation-" + bobID, `{}`},
		{"PATCH", "/Observation/observation-" + bobID, `[]`},
		{"DELETE", "/Observation/observation-" + bobID, ""},
		{"POST", "/Observation", "identifier=" + secret},
		// shared, reached, proven
		{"GET", "/Appointment/group-visit", ""},
		{"GET", "/Appointment", ""},
		{"GET", "/Communication", ""},
		{"GET", "/Communication/said-by-" + mark, ""},
		{"GET", "/Group/" + mark + "-group", ""},
		{"GET", "/Group", ""},
		{"GET", "/Provenance/prov-" + mark, ""},
		{"GET", "/Provenance/prov-both-" + mark, ""},
		{"GET", "/Provenance?target=Observation/observation-" + bobID, ""},
		{"GET", "/Observation?_revinclude=Provenance:target", ""},
		{"GET", "/Binary/bin-" + mark, ""},
		{"GET", "/Binary", ""},
		{"GET", "/PaymentNotice/pay-" + mark, ""},
		{"GET", "/PaymentNotice?request=Claim/claim-" + bobID, ""},
		{"GET", "/ValueSet/vs-" + mark, ""},
		{"GET", "/Observation?_page=AAAA", ""},
		{"GET", "/?_getpages=1", ""},
		{"GET", "/Observation?_getpages=1", ""},
	}
	for _, typ := range compartment.Types() {
		lower := strings.ToLower(typ)
		out = append(out,
			struct{ method, path, form string }{"GET", "/" + typ + "/" + lower + "-" + bobID, ""},
			struct{ method, path, form string }{"GET", "/" + typ + "/" + lower + "-alice", ""},
			struct{ method, path, form string }{"GET", "/" + typ, ""},
			struct{ method, path, form string }{"GET", "/" + typ + "?_id=" + lower + "-" + bobID, ""},
			struct{ method, path, form string }{"POST", "/" + typ + "/_search", "_id=" + lower + "-" + bobID},
		)
	}
	return out
}

// betrays says whether an answer holds anything of bob, or of the EHR's address.
func betrays(h *house, mode ehr.Mode, r reply) string {
	seen := r.everything()
	switch {
	case strings.Contains(seen, secret), strings.Contains(seen, "Ym9ic2VjcmV0"):
		return "bob's secret"
	// An EHR that gives alice's own resources the id that was asked for tells
	// nothing of bob.
	case mode&ehr.DisguisedRead == 0 && strings.Contains(seen, mark):
		return "bob's mark"
	case strings.Contains(seen, strings.TrimPrefix(h.origin, "http://")):
		return "the EHR's address"
	case strings.Contains(seen, "elsewhere.invalid"):
		return "another host's address"
	}
	return ""
}

func TestNothingOfAnotherPatientLeavesWhateverIsAskedAndHoweverTheEHRMisbehaves(t *testing.T) {
	modes := []ehr.Mode{0}
	for m := ehr.Mode(1); m <= ehr.AllModes; m <<= 1 {
		modes = append(modes, m)
	}
	// What gets foreign resources as far as here, with what hides that they are.
	foreign := ehr.IgnorePatient | ehr.IgnoreID | ehr.ForeignRows | ehr.ExtraIncludes
	modes = append(modes,
		foreign, foreign|ehr.NoSearchMode|ehr.AbsoluteURLs|ehr.ElsewhereURLs|ehr.WrongTotal,
		foreign|ehr.DuplicateKeys, foreign|ehr.CaseSpoofedKeys, foreign|ehr.EscapedKeys, foreign|ehr.BadUTF8,
		ehr.ForeignRead|ehr.CaseSpoofedKeys, ehr.DisguisedRead|ehr.DuplicateKeys, ehr.DisguisedRead|ehr.AbsoluteURLs)
	h := open(t, 0, twoRecords()...)
	small := open(t, 64, twoRecords()...) // streams from the first entry on
	for which, mode := range modes {
		slow := mode&(ehr.Slow|ehr.Drip) != 0
		name := "honest"
		if mode != 0 {
			name = fmt.Sprintf("mode %d of %d bits", bits.TrailingZeros64(uint64(mode)), bits.OnesCount64(uint64(mode)))
		}
		t.Run(name, func(t *testing.T) {
			for _, house := range []*house{h, small} {
				house.ehr.Misbehave(mode)
				for i, a := range attacks() {
					// Every attack on an honest EHR and on one that sends what is
					// foreign; of the other modes each takes its own part.
					if mode != 0 && mode&foreign != foreign && (i+which)%5 != 0 || slow && i%40 != 0 {
						continue
					}
					r := house.send(a.method, a.path, alice, a.form)
					if what := betrays(house, mode, r); what != "" {
						t.Errorf("%s %s [%s] gives away %s:\n%s", a.method, a.path, a.form, what, r.everything())
					}
				}
			}
		})
	}
}

func TestForeignAndMissingLookTheSame(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	for _, typ := range compartment.Types() {
		foreign := h.get("/"+typ+"/"+strings.ToLower(typ)+"-"+bobID, alice)
		missing := h.get("/"+typ+"/"+strings.ToLower(typ)+"-nobody-xxxxxxxx", alice)
		if foreign.status != missing.status || foreign.body != missing.body {
			t.Errorf("%s: foreign %d %s\nmissing %d %s", typ, foreign.status, foreign.body, missing.status, missing.body)
		}
		if compartment.Of(typ).Class.Served() && foreign.status != http.StatusNotFound {
			t.Errorf("%s: %d", typ, foreign.status)
		}
	}
}

func TestTheOwnRecordIsThere(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	for _, typ := range compartment.Types() {
		class := compartment.Of(typ).Class
		if class != compartment.Own && class != compartment.Shared {
			continue
		}
		id := strings.ToLower(typ) + "-alice"
		if r := h.get("/"+typ+"/"+id, alice); r.status != http.StatusOK || !strings.Contains(r.body, `"id":"`+id+`"`) {
			t.Errorf("read %s: %d %s", typ, r.status, r.body)
		}
		if !compartment.Of(typ).Searchable() || len(compartment.Of(typ).Narrow) == 0 {
			continue
		}
		if r := h.get("/"+typ, alice); r.status != http.StatusOK || !strings.Contains(r.body, `"id":"`+id+`"`) {
			t.Errorf("search %s: %d %s", typ, r.status, r.body)
		}
	}
	for _, path := range []string{
		"/Patient/alice", "/Practitioner/dr", "/Provenance/prov-alice", "/Binary/bin-alice", "/PaymentNotice/pay-alice",
		"/Device/device-alice", "/Specimen/specimen-alice", "/Appointment/group-visit",
	} {
		if r := h.get(path, alice); r.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}

// Whether something else's existence can be told must not hang on what the
// upstream offers: a proof that it will not give is no proof.
func TestAForeignResourceLooksMissingWhateverTheUpstreamOffers(t *testing.T) {
	var page func(http.ResponseWriter)
	var forbidden bool
	var asked int
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		switch {
		case r.URL.Path == "/fhir/Binary/bin-"+mark && forbidden:
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/fhir/Binary/bin-"+mark:
			w.Header().Set("Content-Type", "application/fhir+json")
			_, _ = io.WriteString(w, `{"resourceType":"Binary","id":"bin-`+mark+`","contentType":"text/plain","data":"Ym9ic2VjcmV0"}`)
		case strings.HasPrefix(r.URL.Path, "/fhir/Media"), r.URL.RawQuery == "page=2":
			page(w)
		case strings.HasPrefix(r.URL.Path, "/fhir/D"):
			w.Header().Set("Content-Type", "application/fhir+json")
			_, _ = io.WriteString(w, `{"resourceType":"Bundle","type":"searchset"}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(up.Close)
	connector, base := connect(t, up.URL, 2*time.Second)
	h := openOver(t, connector, base, 0)
	status := func(code int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(code) }
	}
	for name, tt := range map[string]func(http.ResponseWriter){
		"not understood": status(http.StatusBadRequest),
		"not allowed":    status(http.StatusMethodNotAllowed),
		"not there yet":  status(http.StatusNotImplemented),
		"forbidden":      status(http.StatusForbidden),
		"pages without end": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/fhir+json")
			_, _ = io.WriteString(w, `{"resourceType":"Bundle","type":"searchset","link":[{"relation":"next","url":"`+up.URL+`/fhir/Media?page=2"}]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, forbidden = range []bool{false, true} {
				page, asked = tt, 0
				foreign, missing := h.get("/Binary/bin-"+mark, alice), h.get("/Binary/none", alice)
				if foreign.status != http.StatusNotFound || foreign.status != missing.status || foreign.body != missing.body {
					t.Errorf("forbidden %v: %d %s, missing %d %s", forbidden, foreign.status, foreign.body, missing.status, missing.body)
				}
				if asked > 220 { // both together
					t.Errorf("the upstream was asked %d times", asked)
				}
			}
		})
	}
}

// A patient may write an answer to a questionnaire or a message: that must not
// lead to a resource which nothing else of theirs leads to.
func TestNobodyWritesThemselvesAWayToAResource(t *testing.T) {
	for name, written := range map[string]string{
		"answer":  `{"resourceType":"QuestionnaireResponse","id":"w","subject":{"reference":"Patient/alice"},"item":[{"answer":[{"valueAttachment":{"url":"Binary/bin-` + mark + `"}},{"valueReference":{"reference":"Device/dev-` + mark + `"}}]}]}`,
		"message": `{"resourceType":"Communication","id":"w","subject":{"reference":"Patient/alice"},"sender":{"reference":"Patient/alice"},"payload":[{"contentAttachment":{"url":"Binary/bin-` + mark + `"}},{"contentReference":{"reference":"Device/dev-` + mark + `"}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t, 0, written, `{"resourceType":"Patient","id":"alice"}`,
				`{"resourceType":"Binary","id":"bin-`+mark+`","contentType":"text/plain","data":"Ym9ic2VjcmV0"}`,
				`{"resourceType":"Device","id":"dev-`+mark+`"}`)
			typ, _, _ := strings.Cut(strings.TrimPrefix(written, `{"resourceType":"`), `"`)
			if r := h.get("/"+typ+"/w", alice); r.status != http.StatusOK {
				t.Fatalf("%d %s", r.status, r.body)
			}
			for _, path := range []string{"/Binary/bin-" + mark, "/Device/dev-" + mark} {
				if r := h.get(path, alice); r.status != http.StatusNotFound {
					t.Errorf("%s: %d %s", path, r.status, r.body)
				}
			}
		})
	}
}
