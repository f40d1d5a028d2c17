package authz_test

import (
	"net/url"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/client"
)

// A client chooses the algorithm of its id_tokens; others are not touched by it.
func TestClientsChooseTheAlgorithmOfTheirIDTokens(t *testing.T) {
	t.Parallel()
	h := start(t, func(_ *harness, o *authz.Options) {
		registry, err := client.NewStatic(client.Options{Clients: append(clients(),
			client.Client{ID: "es", Name: "ES", Auth: client.Public, RedirectURIs: []string{callback}, IDTokenAlg: "ES256"},
			client.Client{ID: "rs", Name: "RS", Auth: client.Public, RedirectURIs: []string{callback}, IDTokenAlg: "RS256"})})
		if err != nil {
			t.Fatal(err)
		}
		o.Clients = registry
	})
	provider, err := oidc.NewProvider(t.Context(), h.base)
	if err != nil {
		t.Fatal(err)
	}
	for app, alg := range map[string]string{"es": "ES256", "rs": "RS256", publicApp: "RS256"} {
		code := h.code(func(q url.Values) { q.Set("client_id", app) })
		got := h.token(exchange(code, func(f url.Values) { f.Set("client_id", app) }))
		id, err := provider.Verifier(&oidc.Config{ClientID: app, Now: h.Now, SupportedSigningAlgs: []string{alg}}).Verify(t.Context(), got.text("id_token"))
		if err != nil {
			t.Errorf("%s: %v", app, err)
			continue
		}
		if err := id.VerifyAccessToken(got.text("access_token")); err != nil {
			t.Errorf("%s: at_hash: %v", app, err)
		}
	}
}
