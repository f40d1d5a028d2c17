package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// What an EHR says of another patient inside a resource that may leave, in forms
// that no Reference of R4 has or that are easily overlooked. 200 is one that
// leaves without it, 404 one that cannot leave at all.
func TestNothingOfAnotherPatientLeavesInsideTheOwn(t *testing.T) {
	const hers, his = `{"reference":"Patient/alice"}`, `{"reference":"Patient/` + bobID + `"}`
	obs := func(more string) string {
		return `{"resourceType":"Observation","id":"x","subject":` + hers + `,` + more + `}`
	}
	both := func(typ, members, more string) string {
		return `{"resourceType":"` + typ + `","id":"x",` + fmt.Sprintf(members, hers, his) + `,` + more + `}`
	}
	for name, tt := range map[string]struct {
		raw  string
		want int
	}{
		"contained patient":            {obs(`"contained":[{"resourceType":"Patient","id":"p","name":[{"family":"` + secret + `"}]}],"focus":[{"reference":"#p"}]`), 404},
		"patient in a Bundle":          {obs(`"contained":[{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient","id":"` + bobID + `"}}]}]`), 404},
		"patient in Parameters":        {obs(`"contained":[{"resourceType":"Parameters","parameter":[{"name":"p","resource":{"resourceType":"Patient","id":"` + bobID + `"}}]}]`), 404},
		"contained in another case":    {obs(`"contained":[{"resourceType":"patient","id":"p","name":[{"family":"` + secret + `"}]}]`), 404},
		"contained without a type":     {obs(`"contained":[{"ResourceType":"Patient","id":"p","name":[{"family":"` + secret + `"}]}]`), 404},
		"contained with a list":        {obs(`"contained":[{"resourceType":["Observation"],"subject":` + his + `,"valueString":"` + secret + `"}]`), 404},
		"in what everybody sees":       {`{"resourceType":"Location","id":"x","contained":[{"resourceType":"patient","name":[{"family":"` + secret + `"}]}]}`, 404},
		"urn with its type":            {obs(`"focus":[{"reference":"urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0","type":"Patient","display":"` + secret + `"}]`), 200},
		"no reference with its type":   {obs(`"focus":[{"reference":"","type":"Patient","display":"` + secret + `"}]`), 200},
		"another type than it says":    {obs(`"focus":[{"reference":"Practitioner/dr","type":"Patient","display":"` + secret + `"}]`), 200},
		"type in another case":         {obs(`"focus":[{"reference":"patient/` + bobID + `","display":"` + secret + `"}]`), 200},
		"conditional at another":       {obs(`"focus":[{"reference":"https://other.example/fhir/Patient?identifier=` + secret + `"}]`), 200},
		"only a primitive's extension": {obs(`"focus":[{"type":"Patient","_display":{"extension":[{"url":"urn:x","valueString":"` + secret + `"}]}}]`), 200},
		"URI":                          {obs(`"extension":[{"url":"urn:x","valueUri":"Patient/` + bobID + `"}]`), 200},
		"absolute URI":                 {obs(`"extension":[{"url":"urn:x","valueUrl":"EHR/fhir/Patient/` + bobID + `"}]`), 200},
		"canonical":                    {obs(`"extension":[{"url":"urn:x","valueCanonical":"EHR/fhir/patient/` + bobID + `|1"}]`), 200},
		"absolute URI as a string":     {obs(`"valueString":"EHR/fhir/Patient/` + bobID + `/$everything"`), 200},
		"source":                       {obs(`"meta":{"source":"EHR/fhir/Patient/` + bobID + `"}`), 200},
		"an attachment's URL":          {`{"resourceType":"DocumentReference","id":"x","subject":` + hers + `,"content":[{"attachment":{"url":"Patient/` + bobID + `"}},{"attachment":{"url":"EHR/fhir/Patient?_id=` + bobID + `"}}]}`, 200},
		"another's reason":             {both("Appointment", `"participant":[{"actor":%s},{"actor":%s}]`, `"reasonReference":[{"reference":"Condition/condition-`+bobID+`","display":"`+secret+`"}]`), 200},
		"another's coverage":           {both("Account", `"subject":[%s,%s]`, `"coverage":[{"coverage":{"reference":"Coverage/coverage-`+bobID+`"}},{"coverage":{"type":"Coverage","identifier":{"value":"`+secret+`"}}},{"coverage":{"display":"`+secret+`"}}]`), 200},
		"another's care":               {both("CareTeam", `"subject":%s,"participant":[{"member":%s}]`, `"reasonReference":[{"type":"Condition","display":"`+secret+`"}]`), 200},
		"another's document":           {both("Communication", `"recipient":[%s,%s]`, `"payload":[{"contentReference":{"reference":"DocumentReference/note-`+mark+`"}}],"about":[{"reference":"https://other.example/Observation/`+mark+`"}]`), 200},
		"another's characteristic":     {both("Group", `"member":[{"entity":%s},{"entity":%s}]`, `"characteristic":[{"valueReference":{"reference":"Observation/observation-`+bobID+`"}}]`), 200},
		"for the directory alone":      {`{"resourceType":"Provenance","id":"x","target":[{"reference":"Practitioner/dr"}],"entity":[{"what":{"reference":"DocumentReference/note-` + mark + `"}}]}`, 404},
		"a payment to the directory":   {`{"resourceType":"PaymentNotice","id":"x","request":{"reference":"Practitioner/dr"},"identifier":[{"value":"` + secret + `"}]}`, 404},
		"one payment of several":       {`{"resourceType":"PaymentReconciliation","id":"x","detail":[{"request":{"reference":"Claim/claim-alice"}},{"request":{"reference":"Practitioner/dr"},"identifier":{"value":"` + secret + `"}}]}`, 404},
		"a file of the directory's":    {`{"resourceType":"Binary","id":"x","contentType":"text/plain","data":"Ym9ic2VjcmV0","securityContext":{"reference":"Practitioner/dr"}}`, 404},
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t, 0, twoRecords()...)
			raw := strings.ReplaceAll(tt.raw, "EHR/", h.origin+"/")
			if err := h.ehr.Load([]byte(raw)); err != nil {
				t.Fatal(err)
			}
			typ, _, _ := strings.Cut(strings.TrimPrefix(raw, `{"resourceType":"`), `"`)
			r := h.get("/"+typ+"/x", alice)
			if what := betrays(h, 0, r); what != "" || r.status != tt.want {
				t.Errorf("gives away %q: %s", what, r.everything())
			}
			missing := h.get("/"+typ+"/none", alice)
			if tt.want == http.StatusNotFound && (r.body != missing.body || missing.status != r.status) {
				t.Errorf("%s, a missing one %s", r.body, missing.body)
			}
			if what := betrays(h, 0, h.get("/"+typ+"?_id=x", alice)); what != "" {
				t.Errorf("a search gives away %s", what)
			}
		})
	}
}

// A file that names the directory as its context is still found by what leads
// to it.
func TestAFileOfTheDirectorysIsReachedLikeAnyOther(t *testing.T) {
	h := open(t, 0, `{"resourceType":"Patient","id":"alice"}`, `{"resourceType":"Practitioner","id":"dr"}`,
		`{"resourceType":"Binary","id":"b","contentType":"text/plain","data":"aGVycw==","securityContext":{"reference":"Practitioner/dr"}}`,
		`{"resourceType":"DocumentReference","id":"d","subject":{"reference":"Patient/alice"},"content":[{"attachment":{"url":"Binary/b"}}]}`)
	if r := h.get("/Binary/b", alice); r.status != http.StatusOK || !strings.Contains(r.body, "aGVycw==") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// What is masked cannot be found either: whoever guesses it would see that it is
// there.
func TestASearchFindsNothingByWhatIsMasked(t *testing.T) {
	h := open(t, 0, `{"resourceType":"Patient","id":"alice"}`,
		`{"resourceType":"Communication","id":"thread","recipient":[{"reference":"Patient/alice"},{"reference":"Patient/`+bobID+`"},{"reference":"RelatedPerson/his-`+mark+`"}],"basedOn":[{"reference":"ServiceRequest/his-`+mark+`"}]}`,
		`{"resourceType":"Communication","id":"own","recipient":[{"reference":"Patient/alice"},{"reference":"RelatedPerson/hers"}]}`)
	for query, want := range map[string]int{
		"":                                    2,
		"recipient=RelatedPerson/hers":        1,
		"recipient=RelatedPerson/his-" + mark: 0,
		"based-on=ServiceRequest/his-" + mark: 0,
		"based-on=his-" + mark:                0,
		"recipient=Patient/alice":             2,
	} {
		r := h.get("/Communication?"+query, alice)
		if got := strings.Count(r.body, `"mode":"match"`); r.status == http.StatusOK && got != want || want > 0 && r.status != http.StatusOK {
			t.Errorf("%s: %d %s", query, r.status, r.body)
		}
		count := h.get("/Communication?_summary=count&"+query, alice)
		if count.status == http.StatusOK && !strings.Contains(count.body, fmt.Sprintf(`"total":%d`, want)) {
			t.Errorf("%s: counted %s", query, count.body)
		}
	}
}
