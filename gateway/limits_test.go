package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/internal/rate"
)

// counting is a Budget that gives out what it has.
type counting struct {
	left  map[string]int
	err   error
	asked []string
}

func (c *counting) Take(_ context.Context, key string, _ rate.Limit) (time.Duration, error) {
	c.asked = append(c.asked, key)
	if c.err != nil {
		return 0, c.err
	}
	for prefix := range c.left {
		if strings.HasPrefix(key, prefix) {
			if c.left[prefix]--; c.left[prefix] < 0 {
				return 1500 * time.Millisecond, nil
			}
		}
	}
	return 0, nil
}

func limited(t *testing.T, b *counting) (*house, *int) {
	t.Helper()
	asked := 0
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/fhir+json")
		if strings.HasSuffix(r.URL.Path, "/metadata") {
			_, _ = w.Write([]byte(`{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}`))
			return
		}
		asked++
		_, _ = w.Write([]byte(`{"resourceType":"Bundle","type":"searchset","entry":[]}`))
	}))
	t.Cleanup(up.Close)
	connector, base := connect(t, up.URL, 0)
	one := rate.Limit{PerSecond: 1, Burst: 1}
	return openOver(t, connector, base, 0, func(o *gateway.Options) {
		o.Limits = gateway.Limits{Budget: b, PerApp: one, PerPatient: one}
	}), &asked
}

func TestWhoIsOverABudgetIsToldWhenToComeAgainAndNothingIsAsked(t *testing.T) {
	b := &counting{left: map[string]int{"app\x00app-a": 2}}
	h, asked := limited(t, b)
	for range 2 {
		if r := h.send(http.MethodGet, "/Observation", "a:patient/*.rs", ""); r.status != http.StatusOK {
			t.Fatal(r.everything())
		}
	}
	h.sink.take()
	before := *asked
	for _, path := range []string{"/Observation", "/Patient/a", "/Nonsense?x=1", "/Patient/a/$everything"} {
		r := h.send(http.MethodGet, path, "a:patient/*.rs", "")
		if r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") != "2" || !strings.Contains(r.body, `"code":"throttled"`) || !strings.Contains(r.body, "OperationOutcome") {
			t.Errorf("%s: %s", path, r.everything())
		}
	}
	if *asked != before || len(h.sink.take()) != 0 {
		t.Errorf("the EHR was asked %d times more, or the audit filled", *asked-before)
	}
	if r := h.send(http.MethodGet, "/Observation", "b:patient/*.rs", ""); r.status != http.StatusOK {
		t.Errorf("another app: %s", r.everything())
	}
	if r := h.send(http.MethodGet, "/metadata", "", ""); r.status != http.StatusOK {
		t.Errorf("metadata: %d", r.status)
	}
}

func TestAPatientsBudgetIsSharedByAllAppsAndNotByOtherPatients(t *testing.T) {
	b := &counting{left: map[string]int{"patient\x00ehr\x00a": 2}}
	h, _ := limited(t, b)
	for bearer, want := range map[string]int{"a@one:patient/*.rs": 200, "a@other:patient/*.rs": 200} {
		if r := h.send(http.MethodGet, "/Observation", bearer, ""); r.status != want {
			t.Errorf("%s: %s", bearer, r.everything())
		}
	}
	if r := h.send(http.MethodGet, "/Observation", "a@third:patient/*.rs", ""); r.status != http.StatusTooManyRequests {
		t.Error(r.everything())
	}
	if r := h.send(http.MethodGet, "/Observation", "b@one:patient/*.rs", ""); r.status != http.StatusOK {
		t.Error(r.everything())
	}
}

func TestABatchCountsByItsEntriesAndABadTokenNotAtAll(t *testing.T) {
	b := &counting{left: map[string]int{"app\x00app-a": 3}}
	h, _ := limited(t, b)
	if r := h.send(http.MethodGet, "/Observation", "nonsense", ""); r.status != http.StatusUnauthorized || len(b.asked) != 0 {
		t.Errorf("%d, counted %v", r.status, b.asked)
	}
	entries := strings.TrimSuffix(strings.Repeat(`{"request":{"method":"GET","url":"Observation"}},`, 5), ",")
	r := h.send(http.MethodPost, "", "a:patient/*.rs", `{"resourceType":"Bundle","type":"batch","entry":[`+entries+`]}`, "Content-Type", "application/fhir+json")
	if good, bad := strings.Count(r.body, `"status":"200 OK"`), strings.Count(r.body, `"status":"429 `); good != 3 || bad != 2 {
		t.Errorf("%d good, %d too many: %s", good, bad, r.body)
	}
}

func TestWhatCannotBeCountedIsNotServed(t *testing.T) {
	h, asked := limited(t, &counting{err: errors.New("redis at 10.0.0.1 is down")})
	r := h.send(http.MethodGet, "/Observation", "a:patient/*.rs", "")
	if seconds, err := strconv.Atoi(r.header.Get("Retry-After")); r.status != http.StatusServiceUnavailable || err != nil || seconds < 1 || *asked != 0 || strings.Contains(r.body, "10.0.0.1") {
		t.Error(r.everything())
	}
}

func TestOnlyWhatDescribesABaseDescribesIt(t *testing.T) {
	for path, want := range map[string]bool{
		"/fhir/ehr/metadata": true, "/fhir/ehr/.well-known/smart-configuration": true,
		"/fhir/ehr/Patient/metadata": false, "/fhir/metadata": false, "/metadata": false, "/fhir/ehr/metadata/x": false, "/fhir/ehr": false, "/fhir/": false,
	} {
		if gateway.Describes(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}
