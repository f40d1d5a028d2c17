package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// Who treated somebody, where and how often, is told neither by what comes along
// with a result that is withheld, nor by a link to further ones.
func TestNothingComesAlongWithWhatIsWithheld(t *testing.T) {
	h := open(t, 0, append(twoRecords(),
		`{"resourceType":"Practitioner","id":"his-dr-`+mark+`"}`, `{"resourceType":"Location","id":"his-ward-`+mark+`"}`, `{"resourceType":"Organization","id":"his-lab-`+mark+`"}`,
		`{"resourceType":"Provenance","id":"p1","target":[{"reference":"Observation/observation-`+bobID+`"}],"recorded":"2024-01-01T00:00:00Z","agent":[{"who":{"reference":"Practitioner/his-dr-`+mark+`"}}]}`,
		`{"resourceType":"Provenance","id":"p2","target":[{"reference":"Observation/observation-`+bobID+`"}],"recorded":"2024-01-01T00:00:00Z"}`,
		`{"resourceType":"Device","id":"his","location":{"reference":"Location/his-ward-`+mark+`"},"owner":{"reference":"Organization/his-lab-`+mark+`"},"patient":{"reference":"Patient/`+bobID+`"}}`,
		`{"resourceType":"Specimen","id":"his","subject":{"reference":"Patient/`+bobID+`"},"collection":{"collector":{"reference":"Practitioner/his-dr-`+mark+`"}}}`,
		`{"resourceType":"PaymentNotice","id":"his","request":{"reference":"Claim/claim-`+bobID+`"},"provider":{"reference":"Practitioner/his-dr-`+mark+`"}}`,
	)...)
	for _, query := range []string{
		"Provenance?target=ID&_include=Provenance:agent", "Provenance?_id=p1&_include=Provenance:agent", "Provenance?target=ID&_count=1",
		"Provenance?target=ID&_count=1&_total=accurate", "Device?_id=his&_include=Device:location&_include=Device:organization",
		"Specimen?_id=his&_include=Specimen:collector", "PaymentNotice?_id=his&_include=PaymentNotice:provider", "PaymentNotice?request=Claim/claim-" + bobID + "&_include=PaymentNotice:provider",
	} {
		foreign := h.get("/"+strings.ReplaceAll(query, "ID", "Observation/observation-"+bobID), alice)
		missing := h.get("/"+strings.NewReplacer("ID", "Observation/none", "=his", "=none", "=p1", "=none", "claim-"+bobID, "none").Replace(query), alice)
		if what := betrays(h, 0, foreign); what != "" || foreign.status != http.StatusOK || foreign.body != missing.body {
			t.Errorf("%s gives away %q: %d %s, a missing one %d %s", query, what, foreign.status, foreign.body, missing.status, missing.body)
		}
	}
	own := h.get("/Provenance?target=Observation/observation-alice&_include=Provenance:target", alice)
	if strings.Count(own.body, `"fullUrl"`) != 2 {
		t.Errorf("the own: %d %s", own.status, own.body)
	}
}

// Nor by how much of it there is to go through.
func TestWhatPointsToAnothersCostsTheSameHoweverMuchThereIs(t *testing.T) {
	records := twoRecords()
	for i := range 10 {
		records = append(records, fmt.Sprintf(`{"resourceType":"Provenance","id":"his-%d","target":[{"reference":"Observation/observation-%s"}]}`, i, bobID))
	}
	h := open(t, 0, records...)
	var requests atomic.Int64
	h.ehr.MisbehaveWhen(0, func(*http.Request) bool { requests.Add(1); return false })
	asked := func(target string) int64 {
		before := requests.Load()
		if r := h.get("/Provenance?_count=1&target="+target, alice); r.status != http.StatusOK || strings.Contains(r.body, "next") {
			t.Errorf("%s: %d %s", target, r.status, r.body)
		}
		return requests.Load() - before
	}
	asked("Observation/none") // what the EHR can do is asked once
	if foreign, missing := asked("Observation/observation-"+bobID), asked("Observation/none"); foreign != missing {
		t.Errorf("the EHR was asked %d times, for a missing one %d", foreign, missing)
	}
}
