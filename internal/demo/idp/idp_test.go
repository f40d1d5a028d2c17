package idp_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/portico-fhir/portico/internal/demo/idp"
)

func TestAuthorizationRequestsThatShowAPage(t *testing.T) {
	w := start(t)
	for name, row := range map[string]struct {
		query url.Values
		text  string
	}{
		"unknown client":       {asking("client_id", "x"), "not registered (client_id)"},
		"no client":            {asking("client_id", ""), "not registered (client_id)"},
		"other redirect URI":   {asking("redirect_uri", redirectURI+"/x"), "(redirect_uri)"},
		"evil redirect URI":    {asking("redirect_uri", "https://evil.example/"), "(redirect_uri)"},
		"no redirect URI":      {asking("redirect_uri", ""), "(redirect_uri)"},
		"two redirect URIs":    {url.Values{"client_id": {"portico"}, "redirect_uri": {redirectURI, redirectURI}}, "redirect_uri is there more than once"},
		"a script as client":   {asking("client_id", "<script>"), "not registered (client_id)"},
		"a script as redirect": {asking("redirect_uri", "javascript:alert(1)"), "(redirect_uri)"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			address, form := "/authorize?"+row.query.Encode(), url.Values(nil)
			if method == http.MethodPost {
				address, form = "/authorize", row.query
			}
			p := w.send(method, address, form)
			if p.status != http.StatusBadRequest || !strings.Contains(p.body, row.text) || !strings.Contains(p.body, "<html lang=\"en\">") || strings.Contains(p.body, "<script") {
				t.Errorf("%s %s: %d %s", method, name, p.status, p.body)
			}
		}
	}
}

func TestAuthorizationRequestsThatAnswerTheClient(t *testing.T) {
	w := start(t)
	for name, row := range map[string]struct {
		query       url.Values
		code, words string
	}{
		"no PKCE":            {asking("code_challenge", "", "code_challenge_method", ""), "invalid_request", "PKCE"},
		"PKCE plain":         {asking("code_challenge_method", "plain"), "invalid_request", ""},
		"PKCE of no method":  {asking("code_challenge_method", ""), "invalid_request", "PKCE"},
		"no openid":          {asking("scope", "profile"), "invalid_scope", "openid"},
		"unknown scope":      {asking("scope", "openid patient/*.rs"), "invalid_scope", "knows the scopes"},
		"offline":            {asking("scope", "openid offline_access"), "invalid_scope", "knows the scopes"},
		"implicit":           {asking("response_type", "id_token"), "unsupported_response_type", "code"},
		"prompt none":        {asking("prompt", "none"), "login_required", "sign in each time"},
		"prompt none & more": {asking("prompt", "none login"), "invalid_request", ""},
	} {
		p := w.send(http.MethodGet, "/authorize?"+row.query.Encode(), nil)
		location, err := url.Parse(p.header.Get("Location"))
		if err != nil || location.Host != "localhost:8080" {
			t.Errorf("%s: %d to %q: %s", name, p.status, p.header.Get("Location"), p.body)
			continue
		}
		q := location.Query()
		if q.Get("error") != row.code || !strings.Contains(q.Get("error_description"), row.words) || q.Get("state") != "the state" || q.Has("code") {
			t.Errorf("%s: %v", name, q)
		}
	}
}

func TestTokenRequestsThatAreRefused(t *testing.T) {
	w := start(t)
	for name, row := range map[string]struct {
		change []string
		code   string
	}{
		"wrong secret":       {[]string{"client_secret", "x"}, "invalid_client"},
		"no secret":          {[]string{"client_secret", ""}, "invalid_client"},
		"another client":     {[]string{"client_id", "other", "client_secret", "other-s3cret"}, "invalid_grant"},
		"wrong verifier":     {[]string{"code_verifier", verifier + "x"}, "invalid_grant"},
		"no verifier":        {[]string{"code_verifier", ""}, "invalid_request"},
		"other redirect URI": {[]string{"redirect_uri", redirectURI + "/x"}, "invalid_grant"},
		"unknown code":       {[]string{"code", "x"}, "invalid_grant"},
		"refresh":            {[]string{"grant_type", "refresh_token", "refresh_token", "x"}, "unsupported_grant_type"},
		"client credentials": {[]string{"grant_type", "client_credentials"}, "unsupported_grant_type"},
		"a grant of its own": {[]string{"grant_type", "x"}, "unsupported_grant_type"},
		"JWT bearer":         {[]string{"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion", "x"}, ""},
		"token exchange":     {[]string{"grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"}, ""},
	} {
		p := w.send(http.MethodPost, "/oauth/token", exchanging(w.code("maria").Get("code"), row.change...))
		var body map[string]any
		if err := json.Unmarshal([]byte(p.body), &body); err != nil || p.status < 400 || p.status >= 500 ||
			(row.code != "" && body["error"] != row.code) || body["access_token"] != nil {
			t.Errorf("%s: %d %s", name, p.status, p.body)
		}
	}
}

func TestACodeIsUsedUpByTheFirstAttempt(t *testing.T) {
	w := start(t)
	code := w.code("maria").Get("code")
	if p := w.send(http.MethodPost, "/oauth/token", exchanging(code, "client_secret", "x")); p.status != http.StatusUnauthorized {
		t.Errorf("wrong secret: %d", p.status)
	}
	if p := w.send(http.MethodPost, "/oauth/token", exchanging(code)); p.status != http.StatusBadRequest {
		t.Errorf("after a bad attempt: %d %s", p.status, p.body)
	}
	code = w.code("maria").Get("code")
	good, second := w.send(http.MethodPost, "/oauth/token", exchanging(code)), w.send(http.MethodPost, "/oauth/token", exchanging(code))
	if good.status != 200 || second.status != http.StatusBadRequest {
		t.Errorf("first %d, second %d", good.status, second.status)
	}
	code = w.code("maria").Get("code")
	w.add(time.Minute)
	if p := w.send(http.MethodPost, "/oauth/token", exchanging(code)); p.status != http.StatusBadRequest {
		t.Errorf("after a minute: %d", p.status)
	}
}

func TestOneOfManyWinsTheCode(t *testing.T) {
	w := start(t)
	code := w.code("maria").Get("code")
	var wg sync.WaitGroup
	won := make(chan bool, 8)
	for range 8 {
		wg.Go(func() { won <- w.send(http.MethodPost, "/oauth/token", exchanging(code)).status == 200 })
	}
	wg.Wait()
	close(won)
	n := 0
	for ok := range won {
		if ok {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d exchanges of one code succeeded", n)
	}
}

func TestWhatAClientLearns(t *testing.T) {
	w := start(t)
	ctx := oidc.ClientContext(t.Context(), w.Client())
	provider, err := oidc.NewProvider(ctx, w.URL)
	if err != nil {
		t.Fatal(err)
	}
	for person, want := range map[string]map[string]any{
		"maria": {"sub": "demo-maria", "name": "Maria <Delgado>", "email": "maria@example.org", "email_verified": true, "preferred_username": "maria", "fhirUser": []any{"Patient/p1", "RelatedPerson/r1"}},
		"noah":  {"sub": "demo-noah", "name": "Noah Reed", "email": nil, "preferred_username": "noah", "fhirUser": nil},
	} {
		answer := w.code(person)
		if answer.Get("state") != "the state" {
			t.Errorf("state %q", answer.Get("state"))
		}
		config := oauth2.Config{ClientID: "portico", ClientSecret: "s3cret", Endpoint: provider.Endpoint(), RedirectURL: redirectURI}
		token, err := config.Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := token.Extra("id_token").(string)
		verified, err := provider.Verifier(&oidc.Config{ClientID: "portico"}).Verify(ctx, raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := verified.VerifyAccessToken(token.AccessToken); err != nil || verified.Nonce != "n-1" {
			t.Errorf("at_hash %v, nonce %q", err, verified.Nonce)
		}
		var claims map[string]any
		if err := verified.Claims(&claims); err != nil {
			t.Fatal(err)
		}
		if at, _ := claims["auth_time"].(float64); time.Since(time.Unix(int64(at), 0)).Abs() > 6*time.Minute {
			t.Errorf("auth_time %v", claims["auth_time"])
		}
		info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err != nil {
			t.Fatal(err)
		}
		var more map[string]any
		if err := info.Claims(&more); err != nil {
			t.Fatal(err)
		}
		for name, value := range want {
			if diff := cmp.Diff(value, claims[name]); diff != "" {
				t.Errorf("%s: id_token %s: %s", person, name, diff)
			}
			if diff := cmp.Diff(value, more[name]); diff != "" {
				t.Errorf("%s: userinfo %s: %s", person, name, diff)
			}
		}
		w.add(5 * time.Minute)
		if _, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token)); err == nil {
			t.Error("userinfo took an expired token")
		}
	}
}

func TestDiscoverySaysWhatIsThere(t *testing.T) {
	w := start(t)
	var doc map[string]any
	if err := json.Unmarshal([]byte(w.send(http.MethodGet, "/.well-known/openid-configuration", nil).body), &doc); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"issuer": w.URL, "grant_types_supported": []any{"authorization_code"}, "response_types_supported": []any{"code"},
		"code_challenge_methods_supported": []any{"S256"}, "id_token_signing_alg_values_supported": []any{"ES256"},
		"token_endpoint_auth_methods_supported": []any{"client_secret_basic", "client_secret_post"},
		"introspection_endpoint":                nil, "revocation_endpoint": nil, "device_authorization_endpoint": nil,
	} {
		if diff := cmp.Diff(want, doc[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for _, path := range []string{"/oauth/introspect", "/revoke", "/device_authorization", "/nothing"} {
		if p := w.send(http.MethodPost, path, url.Values{"token": {"x"}}); p.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, p.status)
		}
	}
}

func TestSignInPage(t *testing.T) {
	w := start(t)
	p := w.send(http.MethodGet, "/authorize?"+asking("login_hint", `"><script>`).Encode(), nil)
	for _, want := range []string{
		`<html lang="en">`, "Maria &lt;Delgado&gt;", "A mother &amp; her son.", `value="maria"`, `<label for="password">`,
		`value="&#34;&gt;&lt;script&gt;"`, `name="viewport"`,
	} {
		if !strings.Contains(p.body, want) {
			t.Errorf("the page lacks %s:\n%s", want, p.body)
		}
	}
	for _, never := range []string{"<script", "style=", "<style", " onclick", "pw-maria", "http://", "https://"} {
		if strings.Contains(p.body, never) {
			t.Errorf("the page has %s", never)
		}
	}
	policy := p.header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "style-src 'self'", "form-action 'self'", "http://localhost:8080", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %s", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") {
		t.Errorf("policy: %s", policy)
	}
	if css := w.send(http.MethodGet, "/static/idp.css", nil); css.status != 200 || css.header.Get("Content-Type") != "text/css; charset=utf-8" || len(css.body) < 500 {
		t.Errorf("stylesheet: %d %s", css.status, css.header.Get("Content-Type"))
	}
}

func TestSignInAttempts(t *testing.T) {
	w := start(t)
	for name, form := range map[string]url.Values{
		"wrong password":     {"login": {"maria"}, "password": {"pw-noah"}},
		"no password":        {"login": {"maria"}},
		"nobody":             {"login": {"nobody"}, "password": {""}},
		"a person unknown":   {"person": {"nobody"}},
		"empty":              {},
		"person and subject": {"person": {"demo-maria"}},
	} {
		form.Set("request", w.form())
		p := w.send(http.MethodPost, "/login", form)
		if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.body, `role="alert"`) || !strings.Contains(p.body, "<title>Error: Sign in") {
			t.Errorf("%s: %d %s", name, p.status, p.body)
		}
	}
	for name, request := range map[string]string{"no request": "", "a request unknown": "X"} {
		p := w.send(http.MethodPost, "/login", url.Values{"request": {request}, "person": {"maria"}})
		if p.status != http.StatusBadRequest || !strings.Contains(p.body, "start again") {
			t.Errorf("%s: %d %s", name, p.status, p.body)
		}
	}
	request := w.form()
	if p := w.send(http.MethodPost, "/login", url.Values{"request": {request}, "person": {"maria"}}, "Sec-Fetch-Site", "cross-site"); p.status != http.StatusForbidden {
		t.Errorf("from another site: %d", p.status)
	}
	if p := w.send(http.MethodGet, "/authorize/callback?id="+request, nil); p.status != http.StatusBadRequest {
		t.Errorf("callback before anybody signed in: %d %s", p.status, p.header.Get("Location"))
	}
	if p := w.send(http.MethodPost, "/login", url.Values{"request": {request}, "login": {" Noah "}, "password": {"pw-noah"}}); p.status != http.StatusFound {
		t.Errorf("good password: %d %s", p.status, p.body)
	}
	for name, p := range map[string]page{
		"the form again":     w.send(http.MethodGet, "/login?request="+request, nil),
		"signing in again":   w.send(http.MethodPost, "/login", url.Values{"request": {request}, "person": {"maria"}}),
		"the callback again": w.send(http.MethodGet, "/authorize/callback?id="+request, nil),
	} {
		if p.status != http.StatusBadRequest || !strings.Contains(p.body, "start again") {
			t.Errorf("%s: %d %s", name, p.status, p.body)
		}
	}
	request = w.form()
	w.add(15 * time.Minute)
	if p := w.send(http.MethodGet, "/login?request="+request, nil); p.status != http.StatusBadRequest {
		t.Errorf("after a quarter of an hour: %d", p.status)
	}
}

func TestLogout(t *testing.T) {
	w := start(t)
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, w.Client())
	config := oauth2.Config{ClientID: "portico", ClientSecret: "s3cret", RedirectURL: redirectURI, Endpoint: oauth2.Endpoint{TokenURL: w.URL + "/oauth/token"}}
	token, err := config.Exchange(ctx, w.code("maria").Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	hint, _ := token.Extra("id_token").(string)
	p := w.send(http.MethodGet, "/end_session?"+url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://evil.example/"}}.Encode(), nil)
	if p.status != http.StatusBadRequest {
		t.Errorf("a foreign address: %d %s", p.status, p.header.Get("Location"))
	}
	p = w.send(http.MethodGet, "/end_session?"+url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"http://localhost:8080/"}}.Encode(), nil)
	if p.header.Get("Location") != "http://localhost:8080/" {
		t.Errorf("registered address: %d %s", p.status, p.body)
	}
	if p = w.send(http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+token.AccessToken); p.status < 400 {
		t.Errorf("the token lives on: %d %s", p.status, p.body)
	}
	if p = w.send(http.MethodGet, "/end_session", nil); p.status != 200 || !strings.Contains(p.body, "signed out") {
		t.Errorf("without a hint: %d %s", p.status, p.body)
	}
}

func TestImpossibleOptionsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*idp.Options){
		"a public issuer":      func(o *idp.Options) { o.Issuer = "https://id.example.org" },
		"a private address":    func(o *idp.Options) { o.Issuer = "http://192.168.1.2:8082" },
		"a name like loopback": func(o *idp.Options) { o.Issuer = "http://localhost.example.org" },
		"issuer with path":     func(o *idp.Options) { o.Issuer += "/x" },
		"issuer with slash":    func(o *idp.Options) { o.Issuer += "/" },
		"no issuer":            func(o *idp.Options) { o.Issuer = "" },
		"no clients":           func(o *idp.Options) { o.Clients = nil },
		"client with no id":    func(o *idp.Options) { o.Clients[0].ID = "" },
		"public client":        func(o *idp.Options) { o.Clients[0].Secret = "" },
		"no redirect":          func(o *idp.Options) { o.Clients[0].RedirectURIs = nil },
		"public redirect": func(o *idp.Options) {
			o.Clients[0].RedirectURIs = []string{"https://portico.example.org/login/callback"}
		},
		"public logout":    func(o *idp.Options) { o.Clients[0].PostLogoutRedirectURIs = []string{"https://portico.example.org/"} },
		"no login":         func(o *idp.Options) { o.People[0].Login = "" },
		"login with colon": func(o *idp.Options) { o.People[0].Login = "a:b" },
		"login twice":      func(o *idp.Options) { o.People[0].Login = "noah" },
		"no password":      func(o *idp.Options) { o.People[0].Password = "" },
		"no name":          func(o *idp.Options) { o.People[0].Name = "" },
	} {
		o := options("http://localhost:8082")
		change(&o)
		if _, err := idp.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, issuer := range []string{"http://localhost:8082", "http://127.0.0.1:8082", "http://[::1]:8082", "https://localhost:8443"} {
		if _, err := idp.New(options(issuer)); err != nil {
			t.Errorf("%s: %v", issuer, err)
		}
	}
}

func TestStartsAtOnce(t *testing.T) {
	began := time.Now()
	if _, err := idp.New(options("http://localhost:8082")); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 300*time.Millisecond {
		t.Errorf("it took %v", took)
	}
}
