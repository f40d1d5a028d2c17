package gateway_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway"
)

// What a change asks of the EHR stands in its trace, with what failed.
func TestTheCallsOfAChangeAreInItsTrace(t *testing.T) {
	h, _ := openWriting(t, hers)
	srv := withIDs(h)
	defer srv.Close()
	ticket, err := h.gateway.Ticket("ehr", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct {
		method, path, body, match string
		status                    int
		calls                     string
	}{
		{"POST", "/Observation", obs(""), "", 201, "[create Observation ok] [create Provenance ok]"},
		{"PUT", "/Observation/hers", `{"id":"hers",` + obs("")[1:], `W/"7"`, 200, "[search Observation ok] [update Observation ok] [create Provenance ok]"},
		{"PUT", "/Observation/hers", `{"id":"hers",` + obs("")[1:], `W/"7"`, 412, "[search Observation ok]"},
		{"DELETE", "/Observation/hers", "", `W/"8"`, 204, "[search Observation ok] [delete Observation ok] [create Provenance ok]"},
	} {
		id := fmt.Sprint("request-", i)
		r := h.send(tt.method, srv.URL+"/fhir/ehr"+tt.path, writer, tt.body, "Content-Type", fhirBody, "If-Match", tt.match, gateway.ExplainHeader, ticket, "Test-Id", id)
		got := h.gateway.Explanations(id)
		if r.status != tt.status || len(got) != 1 {
			t.Errorf("%s %s: %d %s, %d traces", tt.method, tt.path, r.status, r.body, len(got))
			continue
		}
		calls := ""
		for _, c := range got[0].Upstream {
			if calls != "" {
				calls += " "
			}
			calls += fmt.Sprintf("[%s %s %s]", c.Kind, c.Type, c.Result)
		}
		if calls != tt.calls {
			t.Errorf("%s %s: %s, want %s", tt.method, tt.path, calls, tt.calls)
		}
	}
}
