package authz_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/scope"
)

const smartPath = "/fhir/demo/.well-known/smart-configuration"

func TestSMARTConfigurationSaysWhatWorks(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	req := h.request(http.MethodGet, smartPath, nil)
	req.Header.Set("Accept", "application/fhir+xml") // JSON whatever Accept says
	got := h.call(req)
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s", got.status, got.header.Get("Content-Type"))
	}
	want := map[string]any{
		"issuer": h.base, "jwks_uri": h.base + "/oauth/jwks",
		"authorization_endpoint": h.base + "/oauth/authorize", "token_endpoint": h.base + "/oauth/token",
		"introspection_endpoint": h.base + "/oauth/introspect", "revocation_endpoint": h.base + "/oauth/revoke", "pushed_authorization_request_endpoint": h.base + "/oauth/par",
		"token_endpoint_auth_methods_supported":            []any{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"},
		"token_endpoint_auth_signing_alg_values_supported": []any{"RS384", "ES384"},
		"grant_types_supported":                            []any{"authorization_code", "client_credentials", "refresh_token"},
		"scopes_supported":                                 []any{"openid", "fhirUser", "profile", "launch/patient", "offline_access", "online_access", "patient/*.rs", "patient/*.read", "user/*.rs", "user/*.read"},
		"response_types_supported":                         []any{"code"},
		"code_challenge_methods_supported":                 []any{"S256"},
		"capabilities": []any{
			"launch-standalone", "authorize-post", "client-public", "client-confidential-symmetric", "client-confidential-asymmetric", "sso-openid-connect",
			"context-standalone-patient", "permission-offline", "permission-online", "permission-patient", "permission-user", "permission-v1", "permission-v2",
		},
	}
	if d := cmp.Diff(want, got.body); d != "" {
		t.Errorf("smart-configuration (-want +got):\n%s", d)
	}
}

func TestOpenIDConfigurationHasWhatItMust(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	got := h.call(h.request(http.MethodGet, "/.well-known/openid-configuration", nil))
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/json" || got.body["issuer"] != h.base {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	for name, want := range map[string]any{
		"authorization_endpoint": h.base + "/oauth/authorize", "token_endpoint": h.base + "/oauth/token", "pushed_authorization_request_endpoint": h.base + "/oauth/par", "jwks_uri": h.base + "/oauth/jwks",
		"response_types_supported": []any{"code"}, "response_modes_supported": []any{"query"}, "subject_types_supported": []any{"public"},
		"id_token_signing_alg_values_supported":          []any{"RS256", "ES256"},
		"authorization_response_iss_parameter_supported": true,
		"request_parameter_supported":                    false, "request_uri_parameter_supported": false, "claims_parameter_supported": false,
	} {
		if d := cmp.Diff(want, got.body[name]); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// Every scope that is advertised is granted, and every claim is given.
func TestAdvertisedScopesAndClaimsAreGiven(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	config := h.call(h.request(http.MethodGet, "/.well-known/openid-configuration", nil))
	all := strings.Join(config.list("scopes_supported"), " ")
	got := h.token(exchange(h.code(func(q url.Values) { q.Set("scope", all) }), nil))
	if got.text("scope") != all {
		t.Errorf("advertised %q, granted %q", all, got.text("scope"))
	}
	claims := claimsOf(t, got.text("id_token"))
	for _, name := range config.list("claims_supported") {
		if _, ok := claims[name]; !ok {
			t.Errorf("claim %s is advertised but not given", name)
		}
	}
}

func TestAdvertisedLettersFollowTheOptions(t *testing.T) {
	t.Parallel()
	h := start(t, func(_ *harness, o *authz.Options) { o.Access = scope.All })
	config := h.call(h.request(http.MethodGet, smartPath, nil))
	if got := config.list("scopes_supported"); !slices.Contains(got, "patient/*.cruds") || !slices.Contains(got, "patient/*.*") {
		t.Errorf("scopes_supported %v", got)
	}
	got := h.token(exchange(h.code(func(q url.Values) { q.Set("scope", "patient/Appointment.cruds patient/Task.write") }), nil))
	if got.text("scope") != "patient/Appointment.cruds patient/Task.write" {
		t.Errorf("granted %q", got.text("scope"))
	}
}

// A source that takes changes to a type grants the letters for that and no
// others, also where an app asks by a wildcard; people see each type.
func TestScopesToWriteAreGrantedWhereTheSourceTakesChanges(t *testing.T) {
	t.Parallel()
	h := start(t, func(_ *harness, o *authz.Options) {
		o.Sources[0].Writes = map[string]scope.Access{"Observation": scope.Create | scope.Update, "Goal": scope.Delete}
	})
	if got := h.call(h.request(http.MethodGet, smartPath, nil)).list("scopes_supported"); !slices.Contains(got, "patient/Observation.cu") || !slices.Contains(got, "patient/Goal.d") || slices.Contains(got, "patient/*.cruds") {
		t.Errorf("scopes_supported %v", got)
	}
	for asked, want := range map[string]string{
		"patient/Observation.cruds":                   "patient/Observation.crus",
		"patient/Observation.cud patient/Condition.c": "patient/Observation.cu",
		"patient/Goal.cruds user/Goal.d":              "patient/Goal.rds user/Goal.d",
		"patient/*.cruds":                             "patient/*.rs patient/Goal.d patient/Observation.cu",
		"patient/*.read patient/Observation.write":    "patient/*.read patient/Observation.cu",
		"patient/*.c patient/Observation.rs":          "patient/Observation.c patient/Observation.rs",
		"patient/Appointment.cruds system/Task.cruds": "patient/Appointment.rs",
	} {
		got := h.token(exchange(h.code(func(q url.Values) { q.Set("scope", asked) }), nil))
		have := strings.Fields(got.text("scope"))
		slices.Sort(have)
		wanted := strings.Fields(want)
		slices.Sort(wanted)
		if !slices.Equal(have, wanted) {
			t.Errorf("asked %q, granted %q, want %q", asked, have, wanted)
		}
	}
}

func TestUnknownSourceHasNoConfiguration(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	rec := httptest.NewRecorder()
	h.server.SMARTConfiguration("nowhere").ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if rec.Code != http.StatusNotFound || strings.Contains(rec.Body.String(), "token_endpoint") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestJWKSVerifiesIDTokensAndHasNoPrivatePart(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	got := h.call(h.request(http.MethodGet, "/oauth/jwks", nil))
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(got.raw), &set); err != nil || len(set.Keys) == 0 {
		t.Fatalf("%v: %s", err, got.raw)
	}
	for _, k := range set.Keys {
		if !k.IsPublic() || !k.Valid() || k.KeyID == "" || len(k.Certificates) != 0 {
			t.Errorf("key %s", k.KeyID)
		}
	}
	jws, err := jose.ParseSignedCompact(h.token(exchange(h.code(nil), nil)).text("id_token"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jws.Verify(set); err != nil {
		t.Error(err)
	}
}

func TestIDTokenComesWithOpenIDOnly(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	got := h.token(exchange(h.code(func(q url.Values) { q.Set("scope", "launch/patient patient/Observation.rs") }), nil))
	if _, ok := got.body["id_token"]; ok {
		t.Errorf("an id_token without openid: %s", got.raw)
	}
	// An app that forgot launch/patient still needs to know whose data it gets.
	got = h.token(exchange(h.code(func(q url.Values) { q.Set("scope", "patient/*.read") }), nil))
	if got.text("patient") != "p1" || got.text("scope") != "patient/*.read" {
		t.Errorf("%s", got.raw)
	}
	got = h.token(exchange(h.code(func(q url.Values) { q.Set("scope", "openid"); q.Del("nonce") }), nil))
	claims := claimsOf(t, got.text("id_token"))
	if _, ok := got.body["patient"]; ok || claims["fhirUser"] != nil || claims["profile"] != nil || claims["nonce"] != nil {
		t.Errorf("openid alone gave %s with %v", got.raw, claims)
	}
}

func TestSubjectIsStableAndTellsPeopleApart(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	sub := func(issuer, subject string) string {
		h.people.set(func(p *people) {
			p.known["ana"] = authz.Person{Issuer: issuer, Subject: subject, AuthTime: h.Now()}
			p.patients[subject] = []authz.Patient{{ID: "p1", Self: true}}
		})
		s, _ := claimsOf(t, h.token(exchange(h.code(nil), nil)).text("id_token"))["sub"].(string)
		return s
	}
	first := sub("https://idp.example", "1")
	if first == "" || len(first) > 255 || strings.Contains(first, "idp.example") {
		t.Errorf("sub %q", first)
	}
	if again := sub("https://idp.example", "1"); again != first {
		t.Errorf("sub changed from %q to %q", first, again)
	}
	for _, other := range []string{sub("https://idp2.example", "1"), sub("https://idp.example", "11"), sub("https://idp.exampl", "e1")} {
		if other == first {
			t.Error("two people share a sub")
		}
	}
}

func TestCrossOriginCallsWorkWithoutCredentials(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	code := h.code(nil)
	for path, method := range map[string]string{
		"/oauth/token": http.MethodPost, "/oauth/jwks": http.MethodGet, "/.well-known/openid-configuration": http.MethodGet, smartPath: http.MethodGet,
	} {
		req := h.request(http.MethodOptions, path, nil)
		req.Header.Set("Origin", "https://app.example")
		req.Header.Set("Access-Control-Request-Method", method)
		req.Header.Set("Access-Control-Request-Headers", "authorization")
		got := h.call(req)
		if got.status != http.StatusNoContent || got.header.Get("Access-Control-Allow-Methods") != method ||
			!strings.Contains(got.header.Get("Access-Control-Allow-Headers"), "Authorization") {
			t.Errorf("preflight of %s: %d %v", path, got.status, got.header)
		}
		var form url.Values
		if method == http.MethodPost {
			form = exchange(code, nil)
		}
		req = h.request(method, path, form)
		req.Header.Set("Origin", "https://app.example")
		got = h.call(req)
		if got.status != http.StatusOK || got.header.Get("Access-Control-Allow-Origin") != "*" || got.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
	}
	// Errors are readable too, and pages are not.
	bad := h.token(exchange("BAD_CODE", nil))
	if bad.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("an error of the token endpoint cannot be read by a page")
	}
	if page := h.browser().authorize(h.ask(nil)); page.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("a page can be read across origins")
	}
}

func TestDocumentsAreReadOnly(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	for _, path := range []string{"/oauth/jwks", "/.well-known/openid-configuration", smartPath} {
		if got := h.call(h.request(http.MethodPost, path, url.Values{})); got.status != http.StatusMethodNotAllowed || !strings.Contains(got.header.Get("Allow"), "GET") {
			t.Errorf("%s: %d", path, got.status)
		}
	}
}

func TestTokenResponseIsExact(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	got := h.token(exchange(h.code(nil), nil))
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/json" ||
		got.header.Get("Cache-Control") != "no-store" || got.header.Get("Pragma") != "no-cache" {
		t.Errorf("%d %v", got.status, got.header)
	}
	delete(got.body, "access_token")
	delete(got.body, "id_token")
	want := map[string]any{
		"token_type": "Bearer", "expires_in": float64(3600), "patient": "p1",
		"scope": "openid fhirUser launch/patient patient/Observation.rs patient/Condition.read",
	}
	if d := cmp.Diff(want, got.body); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
