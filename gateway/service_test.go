package gateway_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/smart/token"
	"github.com/portico-fhir/portico/smart/token/tokentest"
)

// A backend service has no patient, and so nobody's data: whatever scopes its
// token has, and even if patient or user scopes had got into it.
func TestTokensWithoutAPatientOpenNothing(t *testing.T) {
	t.Parallel()
	h := open(t, 0, twoRecords()...)
	for _, scopes := range []string{"system/*.rs", "system/*.cruds", "system/Patient.rs+system/Observation.rs", "patient/*.rs", "user/*.rs", "system/*.rs+patient/*.rs+user/*.rs"} {
		bearer := ":" + scopes
		for _, typ := range compartment.Types() {
			for _, path := range []string{
				"/" + typ, "/" + typ + "?_id=x", "/" + typ + "?patient=alice", "/" + typ + "?patient=", "/" + typ + "?_count=0",
				"/" + typ + "?_revinclude=Provenance:target", "/" + typ + "/" + strings.ToLower(typ) + "-alice", "/" + typ + "/alice",
			} {
				got := h.get(path, bearer)
				if got.status < 400 || got.status >= 500 {
					t.Fatalf("%s with %s: %d %s", path, scopes, got.status, got.body)
				}
				if strings.Contains(got.everything(), "hers") || strings.Contains(got.everything(), secret) {
					t.Fatalf("%s with %s: data left: %s", path, scopes, got.body)
				}
			}
		}
	}
	for _, path := range []string{"/Patient/alice", "/Patient?_id=alice", "/Observation?patient=alice", "/Practitioner/dr", "/Practitioner"} {
		if got := h.get(path, ":system/*.rs"); got.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if got := h.send(http.MethodPost, "/Observation/_search", ":system/*.rs", url.Values{"patient": {"alice"}}.Encode()); got.status != http.StatusForbidden {
		t.Errorf("POST _search: %d", got.status)
	}
	for _, e := range h.sink.take() {
		if e.Released > 0 {
			t.Errorf("released: %+v", e)
		}
	}
}

// The tokens that the authorization server gives to services come through the
// verifier that the gateway uses, and mean nobody.
func TestTokensOfServicesComeWithoutPatient(t *testing.T) {
	t.Parallel()
	now := time.Now()
	store := tokentest.NewMemory()
	bearer, digest := token.NewSecret(rand.Reader)
	err := store.CreateService(t.Context(), token.Grant{ID: "g", Client: "c", Source: "ehr", Scopes: "system/*.rs", Created: now, Expires: now.Add(time.Minute)},
		token.Access{Digest: digest, Scopes: "system/*.rs", Issued: now, Expires: now.Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	grant, _, scopes, err := token.Verifier{Store: store, Now: time.Now}.Authenticate(context.Background(), bearer)
	if err != nil || grant.Patient != "" || !grant.Service() || scopes.String() != "system/*.rs" {
		t.Errorf("%+v %v %v", grant, scopes, err)
	}
}
