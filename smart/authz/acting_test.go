package authz_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
)

// Who may not act for somebody any more keeps no access to the record, however
// long they had agreed to.
func TestAccessEndsWithTheRightToActForThePatient(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(p *people){
		"no record at all":   func(p *people) { p.patients["ana"] = nil },
		"another one's only": func(p *people) { p.patients["ana"] = []authz.Patient{{ID: "p9", FHIRUser: "RelatedPerson/r9"}} },
	} {
		h := start(t, nil)
		first := h.offline()
		h.people.set(change)
		if got := h.token(refreshWith(first.text("refresh_token"), nil)); got.status != http.StatusBadRequest || got.text("error") != "invalid_grant" {
			t.Errorf("%s: %d %s", name, got.status, got.raw)
		}
		if _, ok := h.good(first.text("access_token")); ok {
			t.Errorf("%s: the access token is good", name)
		}
		if got := h.audit.what(); got != "granted code-exchanged refresh-refused" {
			t.Errorf("%s: recorded %s", name, got)
		}
	}
}

// An end that the health system has set is the latest end of the grant.
func TestNoGrantOutlivesTheRightToActForThePatient(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	until := h.Now().Add(30 * time.Minute)
	h.people.set(func(p *people) {
		p.patients["ana"] = []authz.Patient{{ID: "p1", Label: "Cy", FHIRUser: "RelatedPerson/r1", Until: until}}
	})
	first := h.offline()
	grant, ok := h.good(first.text("access_token"))
	if lasts := first.body["expires_in"]; !ok || !grant.Expires.Equal(until) || lasts != float64(1800) {
		t.Errorf("the grant ends %v in place of %v, the access token lasts %v", grant.Expires, until, lasts)
	}
	h.advance(31 * time.Minute)
	if _, ok := h.good(first.text("access_token")); ok {
		t.Error("the access token is good")
	}
	if got := h.token(refreshWith(first.text("refresh_token"), nil)); got.status != http.StatusBadRequest || got.text("error") != "invalid_grant" {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

// That nobody can tell takes nothing away, and uses nothing up.
func TestARefreshWaitsForWhoKnowsWhoMayAct(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	first := h.offline()
	h.people.set(func(p *people) { p.err = http.ErrServerClosed })
	if got := h.token(refreshWith(first.text("refresh_token"), nil)); got.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", got.status, got.raw)
	}
	h.people.set(func(p *people) { p.err = nil })
	if got := h.token(refreshWith(first.text("refresh_token"), nil)); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.raw)
	}
}
