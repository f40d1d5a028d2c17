package apps_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/smart/apps"
	"github.com/portico-fhir/portico/smart/client"
)

// Whatever is registered passes the check that configured clients must pass,
// and what is refused is refused with a code of RFC 7591.
func FuzzRegistration(f *testing.F) {
	f.Add(`{"client_name":"A","redirect_uris":["https://app.example/cb"],"token_endpoint_auth_method":"none"}`)
	f.Add(`{"client_name":"A","redirect_uris":["com.example:/cb"],"scope":"patient/*.rs","grant_types":["authorization_code"]}`)
	f.Add(`{"client_name":"A","redirect_uris":["javascript:x"],"software_statement":"a.b.c"}`)
	f.Add(`{"client_name":"A","token_endpoint_auth_method":"private_key_jwt","grant_types":["client_credentials"],"jwks_uri":"https://a.example"}`)
	h := start(f, func(o *apps.Options) { o.Mode, o.PerHour = apps.ApproveAll, 1<<30 })
	f.Fuzz(func(t *testing.T, body string) {
		h.t = t
		got := h.register(body)
		switch {
		case got.status == http.StatusCreated:
			a, err := h.store.App(t.Context(), got.text("client_id"))
			if err != nil || client.Check(a.Client, nil) != nil {
				t.Fatalf("%s became %+v: %v, %v", body, a, err, client.Check(a.Client, nil))
			}
		case got.status >= 500, got.text("error") == "", strings.ContainsAny(got.text("error_description"), "\"\\"):
			t.Fatalf("%s: %d %s", body, got.status, got.raw)
		}
	})
}
