package login_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/portico-fhir/portico/gateway/login"
)

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

func TestLogoutGoesToTheProviderWithTheIDToken(t *testing.T) {
	for name, c := range map[string]struct {
		endpoint any
		there    bool
	}{
		"it has an endpoint":       {"/end?x=1", true},
		"it has none":              {nil, false},
		"one that is less secure":  {"ftp://x/end", false},
		"one that cannot be meant": {"//", false},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := withFake(t, func(p *provider) {
				p.discovery = func(doc map[string]any) {
					if at, ok := c.endpoint.(string); ok && strings.HasPrefix(at, "/end") {
						doc["end_session_endpoint"] = p.issuer + at
					} else if c.endpoint != nil {
						doc["end_session_endpoint"] = c.endpoint
					}
				}
				p.claims = func(claims map[string]any) { claims["sid"] = "session-7" }
			}, nil)
			b := newBrowser(t, s.Server)
			b.get(s.begin("north", "/x")).want(t, 200, "ARRIVED")
			c2 := *b.Client
			c2.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			got := (&browser{t, &c2}).post(s.URL+"/logout", nil, "Sec-Fetch-Site", "same-origin")
			location := got.header.Get("Location")
			if s.sessions.Len() != 0 {
				t.Errorf("%d, %d sessions left", got.status, s.sessions.Len())
			}
			if !c.there {
				if location != s.URL+"/logout" || got.status != http.StatusSeeOther {
					t.Errorf("%d, sent to %s", got.status, location)
				}
				return
			}
			// No redirect: the form-action of the page before would stop it.
			if got.status != http.StatusOK || location != "" {
				t.Errorf("%d, sent to %s", got.status, location)
			}
			location = strings.TrimPrefix(got.header.Get("Refresh"), "0; url=")
			target, err := url.Parse(location)
			if err != nil || !strings.HasPrefix(location, p.issuer+"/end?") {
				t.Fatalf("sent to %s", location)
			}
			q := target.Query()
			if q.Get("x") != "1" || q.Get("client_id") != "portico" || q.Get("post_logout_redirect_uri") != s.URL+"/logout" {
				t.Errorf("asked %v", q)
			}
			parsed, err := jose.ParseSignedCompact(q.Get("id_token_hint"), []jose.SignatureAlgorithm{jose.ES256})
			if err != nil {
				t.Fatalf("id_token_hint %q: %v", q.Get("id_token_hint"), err)
			}
			var claims map[string]any
			if err := json.Unmarshal(parsed.UnsafePayloadWithoutVerification(), &claims); err != nil || claims["sid"] != "session-7" {
				t.Errorf("hint %v, %v", claims, err)
			}
		})
	}
}

func TestTheIDTokenIsKeptSealed(t *testing.T) {
	s, _ := withFake(t, nil, nil)
	b := newBrowser(t, s.Server)
	b.get(s.begin("north", "/x")).want(t, 200, "ARRIVED")
	s.sessions.Each(func(one login.Session) {
		if one.IDToken == "" || strings.Contains(one.IDToken, "eyJ") || strings.Contains(one.IDToken, ".") {
			t.Errorf("kept as %q", one.IDToken)
		}
	})
}

func (s *site) backChannel(t *testing.T, raw string) page {
	t.Helper()
	return newBrowser(t, s.Server).post(s.URL+"/login/back-channel-logout", url.Values{"logout_token": {raw}})
}

// logoutToken gives good claims of a logout token, to be spoilt.
func (p *provider) logoutToken(change func(map[string]any)) map[string]any {
	now := p.clock.Now()
	claims := map[string]any{
		"iss": p.issuer, "aud": "portico", "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": "j-1",
		"sub": "s-1", "events": map[string]any{logoutEvent: map[string]any{}},
	}
	if change != nil {
		change(claims)
	}
	return claims
}

// One row per thing that is wrong with a logout token (OpenID Connect
// Back-Channel Logout 1.0 section 2.6).
func TestLogoutTokensThatMustNotPass(t *testing.T) {
	set := func(name string, v any) func(map[string]any) { return func(c map[string]any) { c[name] = v } }
	without := func(name string) func(map[string]any) { return func(c map[string]any) { delete(c, name) } }
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	other := newKey(t)
	for name, c := range map[string]struct {
		change func(map[string]any)
		sign   func(p *provider, payload []byte) string
	}{
		"another issuer":                {set("iss", "https://evil.example"), nil},
		"no issuer":                     {without("iss"), nil},
		"another audience":              {set("aud", "another"), nil},
		"no audience":                   {without("aud"), nil},
		"no event":                      {without("events"), nil},
		"another event":                 {set("events", map[string]any{"http://schemas.openid.net/event/x": map[string]any{}}), nil},
		"the event is no object":        {set("events", map[string]any{logoutEvent: "yes"}), nil},
		"a nonce: an id_token":          {set("nonce", "n"), nil},
		"an empty nonce":                {set("nonce", ""), nil},
		"neither sub nor sid":           {without("sub"), nil},
		"no jti":                        {without("jti"), nil},
		"no exp":                        {without("exp"), nil},
		"expired":                       {set("exp", now.Add(-2*time.Minute).Unix()), nil},
		"no iat":                        {without("iat"), nil},
		"issued in the future":          {set("iat", now.Add(time.Hour).Unix()), nil},
		"issued long ago":               {set("iat", now.Add(-48*time.Hour).Unix()), nil},
		"signed with another key":       {nil, func(_ *provider, b []byte) string { return signES256(other, "k1", b) }},
		"signed with an unknown key":    {nil, func(_ *provider, b []byte) string { return signES256(other, "k9", b) }},
		"not signed":                    {nil, func(_ *provider, b []byte) string { return unsigned("none", b) }},
		"not signed, in another case":   {nil, func(_ *provider, b []byte) string { return unsigned("NONE", b) }},
		"HMAC with the public key":      {nil, func(p *provider, b []byte) string { return signHS256(publicPEM(p.key), b) }},
		"HMAC with the client's secret": {nil, func(_ *provider, b []byte) string { return signHS256([]byte("s3cret"), b) }},
		"changed after signing": {nil, func(p *provider, b []byte) string {
			parts := strings.Split(signES256(p.key, p.kid, b), ".")
			parts[1] = strings.Split(signES256(other, "k1", encode(p.logoutToken(set("sub", "s-2")))), ".")[1]
			return strings.Join(parts, ".")
		}},
		"no token":           {nil, func(*provider, []byte) string { return "" }},
		"no JWT":             {nil, func(*provider, []byte) string { return "a.b" }},
		"twice the same sub": {nil, func(p *provider, _ []byte) string { return signES256(p.key, p.kid, twice(p)) }},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := withFake(t, nil, nil)
			b := newBrowser(t, s.Server)
			b.get(s.begin("north", "/x")).want(t, 200, "ARRIVED")
			payload := encode(p.logoutToken(c.change))
			raw := signES256(p.key, p.kid, payload)
			if c.sign != nil {
				raw = c.sign(p, payload)
			}
			got := s.backChannel(t, raw)
			got.want(t, 400, `"error":"invalid_request"`)
			if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", got.header)
			}
			if who := s.who(b, "north"); !strings.HasPrefix(who, "true") {
				t.Errorf("signed out: %s", who)
			}
		})
	}
}

// twice is a logout token that two readers could understand differently.
func twice(p *provider) []byte {
	raw := encode(p.logoutToken(nil))
	return append([]byte(`{"sub":"s-2",`), raw[1:]...)
}

func TestBackChannelLogoutEndsTheSessionsAtOnce(t *testing.T) {
	sids := map[string]string{"first": "a", "second": "b", "third": ""}
	for name, c := range map[string]struct {
		change func(map[string]any)
		gone   string // of first, second, third
	}{
		"a subject":         {nil, "first second third"},
		"a session":         {func(c map[string]any) { delete(c, "sub"); c["sid"] = "a" }, "first"},
		"both":              {func(c map[string]any) { c["sid"] = "b" }, "second third"}, // third said no sid
		"an unknown person": {func(c map[string]any) { c["sub"] = "s-9" }, ""},
		"audience in a list": {func(c map[string]any) {
			c["aud"] = []string{"another", "portico"}
		}, "first second third"},
		"expired within the leeway": {func(c map[string]any) { c["exp"] = time.Date(2026, 3, 1, 11, 59, 30, 0, time.UTC).Unix() }, "first second third"},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := withFake(t, nil, nil)
			browsers := map[string]*browser{}
			for who, sid := range sids {
				p.mu.Lock()
				p.claims = func(claims map[string]any) {
					if sid != "" {
						claims["sid"] = sid
					}
				}
				p.mu.Unlock()
				browsers[who] = newBrowser(t, s.Server)
				browsers[who].get(s.begin("north", "/x")).want(t, 200, "ARRIVED")
			}
			raw := signES256(p.key, p.kid, encode(p.logoutToken(c.change)))
			s.backChannel(t, raw).want(t, 200, "")
			for who, b := range browsers {
				if gone := strings.HasPrefix(s.who(b, "north"), "false"); gone != strings.Contains(c.gone, who) {
					t.Errorf("%s signed out: %t", who, gone)
				}
			}
			// A token counts once: replayed, it does not end a later session.
			b := newBrowser(t, s.Server)
			b.get(s.begin("north", "/x")).want(t, 200, "ARRIVED")
			s.backChannel(t, raw).want(t, 400, "invalid_request")
			if who := s.who(b, "north"); !strings.HasPrefix(who, "true") {
				t.Errorf("a replay signed somebody out: %s", who)
			}
		})
	}
}

func TestBackChannelRequestsOfAnotherForm(t *testing.T) {
	s, p := withFake(t, nil, nil)
	newBrowser(t, s.Server).get(s.begin("north", "/x")).want(t, 200, "ARRIVED")
	raw := signES256(p.key, p.kid, encode(p.logoutToken(nil)))
	at := s.URL + "/login/back-channel-logout"
	b := newBrowser(t, s.Server)
	b.post(at, url.Values{"logout_token": {raw, raw}}).want(t, 400, "invalid_request")
	b.post(at+"?logout_token="+raw, url.Values{}).want(t, 400, "invalid_request")
	b.post(at, url.Values{"logout_token": {strings.Repeat("x", 70000)}}).want(t, 400, "invalid_request")
	if got := b.get(at + "?logout_token=" + raw); got.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", got.status)
	}
	if s.sessions.Len() != 1 {
		t.Errorf("%d sessions are left", s.sessions.Len())
	}
}

// A provider that cannot be asked for its keys, and a store that is down, are
// told to the provider as such, so that it tries again.
func TestBackChannelLogoutDuringAnOutage(t *testing.T) {
	s, p := withFake(t, nil, nil)
	p.rotate(t, "k2")
	raw := signES256(p.key, p.kid, encode(p.logoutToken(nil)))
	p.Close()
	s.backChannel(t, raw).want(t, 503, "server_error")
}

// Each provider speaks for its own people only.
func TestLogoutTokensOfTwoProvidersOfOneSource(t *testing.T) {
	s, city, fake := withTwo(t)
	b := newBrowser(t, s.Server)
	b.get(s.URL+"/login/start?source=north&provider=city&return_to=%2Fx").want(t, 200, "ARRIVED")
	// One provider cannot end the sessions of the other's people.
	forged := fake.logoutToken(func(c map[string]any) { c["iss"] = city.issuer })
	s.backChannel(t, signES256(fake.key, fake.kid, encode(forged))).want(t, 400, "invalid_request")
	own := fake.logoutToken(nil)
	s.backChannel(t, signES256(fake.key, fake.kid, encode(own))).want(t, 200, "")
	if who := s.who(b, "north"); !strings.HasPrefix(who, "true") {
		t.Errorf("signed out: %s", who)
	}
	s.backChannel(t, signES256(city.key, city.kid, encode(city.logoutToken(nil)))).want(t, 200, "")
	if who := s.who(b, "north"); !strings.HasPrefix(who, "false") {
		t.Errorf("still signed in: %s", who)
	}
}
