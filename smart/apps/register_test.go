package apps_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/portico-fhir/portico/smart/apps"
	"github.com/portico-fhir/portico/smart/client"
)

func key(t *testing.T, private bool) json.RawMessage {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk := jose.JSONWebKey{Key: k.Public(), KeyID: "a"}
	if private {
		jwk.Key = k
	}
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{jwk}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRegistrationsThatAreRefused(t *testing.T) {
	t.Parallel()
	h := start(t, func(o *apps.Options) { o.PerHour = 1000 })
	keys := key(t, false)
	redirect := func(uris ...string) object { return object{"redirect_uris": uris} }
	for _, c := range []struct {
		name   string
		change object
		code   string
		says   string
	}{
		{"no redirect", object{"redirect_uris": nil}, "invalid_redirect_uri", "redirect URI"},
		{"an empty list", redirect(), "invalid_redirect_uri", "redirect URI"},
		{"javascript", redirect("javascript:alert(1)"), "invalid_redirect_uri", "scheme"},
		{"plain http", redirect("http://app.example/cb"), "invalid_redirect_uri", "https"},
		{"a fragment", redirect("https://app.example/cb#"), "invalid_redirect_uri", "fragment"},
		{"a wildcard", redirect("https://*.example/cb"), "invalid_redirect_uri", "wildcards"},
		{"twice", redirect("https://a.example/", "https://a.example/"), "invalid_redirect_uri", "twice"},
		{"not a text", object{"redirect_uris": []any{1}}, "invalid_client_metadata", "redirect_uris"},
		{"not a list", object{"redirect_uris": "https://app.example/"}, "invalid_client_metadata", "redirect_uris"},
		{"no name", object{"client_name": nil}, "invalid_client_metadata", "client_name"},
		{"a name that turns round", object{"client_name": "App \u202etxt.exe"}, "invalid_client_metadata", "client_name"},
		{"a name of two lines", object{"client_name": "App\nApproved by the hospital"}, "invalid_client_metadata", "client_name"},
		{"a name with invisible parts", object{"client_name": "A\u200bpp"}, "invalid_client_metadata", "client_name"},
		{"a long name", object{"client_name": strings.Repeat("a", 101)}, "invalid_client_metadata", "client_name"},
		{"an unknown method", object{"token_endpoint_auth_method": "tls_client_auth"}, "invalid_client_metadata", "token_endpoint_auth_method"},
		{"a secret as JWT", object{"token_endpoint_auth_method": "client_secret_jwt"}, "invalid_client_metadata", "token_endpoint_auth_method"},
		{"a key method without key", object{"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata", "jwks"},
		{"keys twice", object{"token_endpoint_auth_method": "private_key_jwt", "jwks": keys, "jwks_uri": "https://app.example/keys"}, "invalid_client_metadata", "both"},
		{"a private key", object{"token_endpoint_auth_method": "private_key_jwt", "jwks": key(t, true)}, "invalid_client_metadata", "private"},
		{"no key set", object{"token_endpoint_auth_method": "private_key_jwt", "jwks": object{}}, "invalid_client_metadata", "jwks"},
		{"an algorithm that is not taken", object{"token_endpoint_auth_method": "private_key_jwt", "jwks": keys, "token_endpoint_auth_signing_alg": "HS256"}, "invalid_client_metadata", "RS384"},
		{"keys inside", object{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://169.254.169.254/keys"}, "invalid_client_metadata", "jwks_uri"},
		{"keys over http", object{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://app.example/keys"}, "invalid_client_metadata", "jwks_uri"},
		{"a logo inside", object{"logo_uri": "https://127.0.0.1/logo.png"}, "invalid_client_metadata", "logo_uri"},
		{"a logo in itself", object{"logo_uri": "data:image/png;base64,AA"}, "invalid_client_metadata", "logo_uri"},
		{"a script as home page", object{"client_uri": "javascript:alert(1)"}, "invalid_client_metadata", "client_uri"},
		{"terms over http", object{"tos_uri": "http://app.example/tos"}, "invalid_client_metadata", "tos_uri"},
		{"a policy without host", object{"policy_uri": "https:///policy"}, "invalid_client_metadata", "policy_uri"},
		{"a launch URI over http", object{"launch_uris": []string{"http://app.example/launch"}}, "invalid_client_metadata", "launch URI"},
		{"a launch URI of a device", object{"launch_uris": []string{"com.example.app:/launch"}}, "invalid_client_metadata", "launch URI"},
		{"scopes that are none", object{"scope": "patient/*.sr"}, "invalid_client_metadata", "scopes"},
		{"an unknown grant", object{"grant_types": []string{"implicit"}}, "invalid_client_metadata", "grant_types"},
		{"no grant", object{"grant_types": []string{}}, "invalid_client_metadata", "grant_types"},
		{"refresh alone", object{"grant_types": []string{"refresh_token"}}, "invalid_client_metadata", "refresh_token"},
		{"client credentials of a public client", object{"grant_types": []string{"client_credentials"}}, "invalid_client_metadata", "private_key_jwt"},
		{"the token response type", object{"response_types": []string{"token"}}, "invalid_client_metadata", "response_types"},
		{"no response type with a code grant", object{"response_types": []string{}}, "invalid_client_metadata", "response_types"},
		{"an id_token without signature", object{"id_token_signed_response_alg": "none"}, "invalid_client_metadata", "RS256"},
		{"contacts that are none", object{"contacts": []string{"call me"}}, "invalid_client_metadata", "contacts"},
		{"contacts with a name", object{"contacts": []string{"Ann <a@app.example>"}}, "invalid_client_metadata", "contacts"},
		{"too many redirects", redirect(make([]string, 21)...), "invalid_client_metadata", "20"},
		{"a statement that is none", object{"software_statement": "x.y.z"}, "invalid_software_statement", "JWT"},
	} {
		h.register(good(c.change)).wantError(t, c.name, http.StatusBadRequest, c.code, c.says)
	}
	for name, body := range map[string]string{
		"nothing": "", "no JSON": "{", "a list": "[]", "a name twice": `{"client_name":"A","client_name":"B","redirect_uris":["https://app.example/cb"]}`,
		"two objects": "{} {}", "not UTF-8": "{\"client_name\":\"\xff\"}",
	} {
		h.register(body).wantError(t, name, http.StatusBadRequest, "invalid_client_metadata", "")
	}
	h.register(strings.Repeat(" ", 129<<10)).wantError(t, "too large", http.StatusRequestEntityTooLarge, "invalid_client_metadata", "large")
	h.call(http.MethodGet, h.public.URL+"/oauth/register", "", nil).wantError(t, "GET", http.StatusMethodNotAllowed, "invalid_request", "POST")
	if list, err := h.store.Apps(t.Context(), "", 10); err != nil || len(list) != 0 {
		t.Errorf("something was kept: %v %v", list, err)
	}
}

func TestRegistrationLandsInTheReviewQueue(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	for name, c := range map[string]struct {
		change object
		auth   client.Auth
		secret bool
		grants []any
	}{
		"public":    {object{"unknown_member": 1, "client_name#de": "Äpp"}, client.Public, false, []any{"authorization_code"}},
		"no method": {object{"token_endpoint_auth_method": nil}, client.SecretBasic, true, []any{"authorization_code"}},
		"secret": {object{"token_endpoint_auth_method": "client_secret_post", "scope": "openid offline_access", "grant_types": []string{"authorization_code", "refresh_token"}},
			client.SecretBasic, true, []any{"authorization_code", "refresh_token"}},
		"key": {object{"token_endpoint_auth_method": "private_key_jwt", "jwks": key(t, false)}, client.PrivateKeyJWT, false, []any{"authorization_code"}},
		"backend": {object{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://app.example/keys", "redirect_uris": nil,
			"grant_types": []string{"client_credentials"}, "scope": "system/*.rs"}, client.PrivateKeyJWT, false, []any{"client_credentials"}},
		"native": {object{"redirect_uris": []string{"com.example.app:/cb", "http://127.0.0.1/cb"}}, client.Public, false, []any{"authorization_code"}},
	} {
		a := h.register(good(c.change))
		id := a.text("client_id")
		if a.status != http.StatusCreated || len(id) != 43 || len(a.text("registration_access_token")) != 43 || a.text("registration_state") != "pending" ||
			a.text("registration_client_uri") != issuer+"/oauth/register/"+id || a.body["client_id_issued_at"] == nil {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
			continue
		}
		if c.secret != (a.text("client_secret") != "") || c.secret != (a.body["client_secret_expires_at"] != nil) {
			t.Errorf("%s: secret in %s", name, a.raw)
		}
		if !reflect.DeepEqual(a.body["grant_types"], c.grants) || a.text("token_endpoint_auth_method") != string(c.auth) || a.text("client_name") != "App" {
			t.Errorf("%s: %s", name, a.raw)
		}
		if err := h.usable(id); !errors.Is(err, client.ErrPending) {
			t.Errorf("%s: usable before review: %v", name, err)
		}
		stored, err := h.store.App(t.Context(), id)
		if err != nil || stored.Auth != c.auth || stored.Origin != client.ByItself || strings.Contains(fmt.Sprint(stored), a.text("registration_access_token")) ||
			(c.secret && (strings.Contains(fmt.Sprint(stored), a.text("client_secret")) || !stored.CheckSecret(a.text("client_secret")))) {
			t.Errorf("%s: stored %+v, %v", name, stored, err)
		}
		if name == "native" && !stored.AnyLoopbackPort {
			t.Error("the port of a loopback redirect may not vary")
		}
		if got := h.operator(http.MethodPost, "/apps/"+id+"/approve", object{"by": "ann", "why": "checked"}); got.status != http.StatusOK {
			t.Errorf("%s: approve: %d %s", name, got.status, got.raw)
		}
		if err := h.usable(id); err != nil {
			t.Errorf("%s: after approval: %v", name, err)
		}
	}
}

func TestRegistrationIsLimited(t *testing.T) {
	t.Parallel()
	h := start(t, func(o *apps.Options) { o.PerHour = 2 })
	for i, c := range []struct {
		addr   string
		status int
	}{
		{"192.0.2.1", 201}, {"192.0.2.1", 201}, {"192.0.2.1", 429}, {"::ffff:192.0.2.1", 429}, {"192.0.2.2", 201},
		{"2001:db8::1", 201}, {"2001:db8::2", 201}, {"2001:db8::3", 429}, {"2001:db8:0:1::1", 201},
		{"unknown", 201}, {"", 201}, {"unknown", 429},
	} {
		h.addr = c.addr
		got := h.register(good(nil))
		if got.status != c.status || (c.status == 429) != (got.header.Get("Retry-After") != "") {
			t.Errorf("%d: %s: %d %v", i, c.addr, got.status, got.header)
		}
	}
	h.addr, h.now = "192.0.2.1", h.now.Add(time.Hour)
	if got := h.register(good(nil)); got.status != http.StatusCreated {
		t.Errorf("an hour later: %d", got.status)
	}
	for i := range 500 {
		a := client.App{Client: client.Client{ID: fmt.Sprint(i)}, State: client.Pending}
		if err := h.store.CreateApp(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	h.addr = "192.0.2.9"
	h.register(good(nil)).wantError(t, "a full queue", http.StatusServiceUnavailable, "temporarily_unavailable", "review")
}

func TestModes(t *testing.T) {
	t.Parallel()
	closed := start(t, func(o *apps.Options) { o.Mode = "" })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, closed.public.URL+"/oauth/register", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if res, err := http.DefaultClient.Do(req); err != nil || res.StatusCode != http.StatusNotFound {
		t.Errorf("registration is open by default: %v %v", res, err)
	}
	open := start(t, func(o *apps.Options) { o.Mode = apps.ApproveAll })
	if a := open.register(good(nil)); a.status != 201 || open.usable(a.text("client_id")) != nil {
		t.Errorf("approve_all: %s", a.raw)
	}
	must := start(t, func(o *apps.Options) { o.MustState = true })
	must.register(good(nil)).wantError(t, "no statement", http.StatusBadRequest, "unapproved_software_statement", "needed")
	for name, o := range map[string]apps.Options{
		"nothing": {}, "a slash": {Issuer: issuer + "/"}, "no store": {Issuer: issuer},
	} {
		if _, err := apps.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func (h *harness) statement(change func(c object), alg jose.SignatureAlgorithm, signer any, kid string) string {
	h.t.Helper()
	claims := object{"iss": "https://vouch.example", "iat": h.now.Unix(), "exp": h.now.Add(time.Hour).Unix(),
		"client_name": "Vouched", "redirect_uris": []string{"https://vouched.example/cb"}, "software_id": "s1"}
	if change != nil {
		change(claims)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: signer}, (&jose.SignerOptions{}).WithHeader("kid", kid))
	if err != nil {
		h.t.Fatal(err)
	}
	text, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		h.t.Fatal(err)
	}
	return text
}

func TestSoftwareStatements(t *testing.T) {
	t.Parallel()
	h := start(t, func(o *apps.Options) { o.PerHour = 1000 })
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set := func(name string, v any) func(object) { return func(c object) { c[name] = v } }
	for _, c := range []struct {
		name, text, code, says string
	}{
		{"another issuer", h.statement(set("iss", "https://evil.example"), jose.ES256, h.signer, "k1"), "unapproved_software_statement", "issuer"},
		{"no issuer", h.statement(func(c object) { delete(c, "iss") }, jose.ES256, h.signer, "k1"), "unapproved_software_statement", "issuer"},
		{"another key", h.statement(nil, jose.ES256, other, "k1"), "invalid_software_statement", "signature"},
		{"an unknown kid", h.statement(nil, jose.ES256, h.signer, "k2"), "invalid_software_statement", "kid"},
		{"a secret", h.statement(nil, jose.HS256, []byte(credential), "k1"), "invalid_software_statement", "signed"},
		{"no signature", "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL3ZvdWNoLmV4YW1wbGUifQ.", "invalid_software_statement", "signed"},
		{"over", h.statement(set("exp", h.now.Add(-2*time.Minute).Unix()), jose.ES256, h.signer, "k1"), "invalid_software_statement", "over"},
		{"not yet", h.statement(set("nbf", h.now.Add(2*time.Minute).Unix()), jose.ES256, h.signer, "k1"), "invalid_software_statement", "not yet"},
		{"for another server", h.statement(set("aud", "https://other.example"), jose.ES256, h.signer, "k1"), "invalid_software_statement", "another"},
		{"metadata of the wrong type", h.statement(set("redirect_uris", 1), jose.ES256, h.signer, "k1"), "invalid_software_statement", "type"},
		{"metadata that is refused", h.statement(set("redirect_uris", []string{"http://x.example/"}), jose.ES256, h.signer, "k1"), "invalid_redirect_uri", "https"},
	} {
		h.register(good(object{"software_statement": c.text})).wantError(t, c.name, http.StatusBadRequest, c.code, c.says)
	}
	for name, change := range map[string]func(object){"no audience": nil, "our audience": set("aud", issuer)} {
		a := h.register(good(object{"software_statement": h.statement(change, jose.ES256, h.signer, "k1")}))
		stored, err := h.store.App(t.Context(), a.text("client_id"))
		if err != nil || stored.Name != "Vouched" || stored.RedirectURIs[0] != "https://vouched.example/cb" || stored.Software != "https://vouch.example" ||
			stored.SoftwareID != "s1" || stored.State != client.Pending {
			t.Errorf("%s: %s; %+v, %v", name, a.raw, stored, err)
		}
	}
}
