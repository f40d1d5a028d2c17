package authz_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
)

func TestServicesGetShortTokensForThemselves(t *testing.T) {
	t.Parallel()
	h := startWithKeys(t, nil)
	got := h.service(h.assertion(serviceApp, nil), nil)
	if got.status != http.StatusOK || got.text("scope") != serviceWant || got.body["expires_in"] != float64(300) || got.text("token_type") != "Bearer" || len(got.body) != 4 {
		t.Fatalf("answer %d %s", got.status, got.raw)
	}
	if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Pragma") != "no-cache" {
		t.Errorf("headers %v", got.header)
	}
	grant, ok := h.good(got.text("access_token"))
	if !ok || !grant.Service() || grant.Source != "demo" || grant.Client != serviceApp || grant.Patient != "" {
		t.Errorf("grant %+v", grant)
	}
	if h.audit.what() != "service-authorized" {
		t.Errorf("recorded %s", h.audit.what())
	}
	h.advance(5 * time.Minute)
	if _, ok := h.good(got.text("access_token")); ok {
		t.Error("good after five minutes")
	}
}

func TestServicesGetNoMoreThanTheyWereAuthorisedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, app, scope, want, err string }{
		{"less", serviceApp, "system/Patient.r", "system/Patient.r", ""},
		{"v1 syntax", serviceApp, "system/Patient.read", "system/Patient.read", ""},
		{"a part is more", serviceApp, "system/Patient.rs system/Condition.rs", "system/Patient.rs", ""},
		{"what cannot be granted is left out of letters", serviceApp, "system/Observation.cruds", "system/Observation.rs", ""},
		{"the same twice", serviceApp, "system/Patient.rs system/Patient.rs", "system/Patient.rs", ""},
		{"a granular part", serviceApp, "system/Observation.rs?category=a|b", "system/Observation.rs?category=a|b", ""},
		{"the wildcard of which it has a part", serviceApp, "system/*.rs", "", "invalid_scope"},
		{"another type", serviceApp, "system/Condition.rs", "", "invalid_scope"},
		{"a type that does not exist", "wide", "system/Unknown.rs", "", "invalid_scope"},
		{"writing alone", "wide", "system/Patient.c", "", "invalid_scope"},
		{"patient scopes", serviceApp, "patient/Patient.rs", "", "invalid_scope"},
		{"user scopes", "wide", "user/Patient.rs", "", "invalid_scope"},
		{"identity", serviceApp, "openid fhirUser", "", "invalid_scope"},
		{"offline access beside", serviceApp, "offline_access system/Patient.rs", "system/Patient.rs", ""},
		{"malformed", serviceApp, "system/Patient.sr", "", "invalid_scope"},
		{"a quote", serviceApp, `"`, "", "invalid_scope"},
		{"nothing", serviceApp, "", "", "invalid_scope"},
		{"an app that is not authorised for system scopes", keyApp, "system/Patient.rs", "", "invalid_scope"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := startWithKeys(t, nil)
			got := h.service(h.assertion(c.app, nil), func(f url.Values) { f.Set("scope", c.scope) })
			if c.err != "" {
				got.wantError(t, 400, c.err)
				return
			}
			if got.text("scope") != c.want || got.body["refresh_token"] != nil || got.body["id_token"] != nil {
				t.Errorf("answer %s", got.raw)
			}
		})
	}
}

func TestServicesOfSeveralSourcesSayWhich(t *testing.T) {
	t.Parallel()
	h := startWithKeys(t, nil)
	for _, c := range []struct {
		name, app, resource, want string
	}{
		{"one", "wide", "/fhir/other", "other"},
		{"with a slash", "wide", "/fhir/demo/", "demo"},
		{"none", "wide", "", ""},
		{"an unknown one", "wide", "/fhir/third", ""},
		{"one that it is not registered for", serviceApp, "/fhir/other", ""},
		{"its only one", serviceApp, "/fhir/demo", "demo"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := h.service(h.assertion(c.app, nil), func(f url.Values) {
				f.Set("scope", "system/Patient.rs")
				f.Del("resource")
				if c.resource != "" {
					f.Set("resource", h.base+c.resource)
				}
			})
			if c.want == "" {
				got.wantError(t, 400, "invalid_target")
				return
			}
			if g, ok := h.good(got.text("access_token")); !ok || g.Source != c.want {
				t.Errorf("source %q: %s", g.Source, got.raw)
			}
		})
	}
}

func TestClientsWithoutAKeyAreNoServices(t *testing.T) {
	t.Parallel()
	h := startWithKeys(t, nil)
	f := url.Values{"grant_type": {"client_credentials"}, "scope": {serviceWant}, "client_id": {publicApp}}
	h.token(f).wantError(t, 400, "unauthorized_client")
	f.Set("client_id", secretApp)
	f.Set("client_secret", secretText)
	h.token(f).wantError(t, 400, "unauthorized_client")
}

func TestServiceTokensThatCannotBeRecordedOrKeptAreNotGiven(t *testing.T) {
	t.Parallel()
	h := startWithKeys(t, func(h *harness, _ *authz.Options) { h.audit.fail(errDisk) })
	h.service(h.assertion(serviceApp, nil), nil).wantError(t, 503, "temporarily_unavailable")
	if len(h.tokens.Grants()) != 0 {
		t.Error("a grant is left")
	}
}
