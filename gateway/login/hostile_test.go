package login_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/gateway/login"
)

const notChecked = "did not pass the checks"

func TestTheFakeProviderSignsInWhenItDoesNotLie(t *testing.T) {
	s, p := withFake(t, nil, nil)
	b := newBrowser(t, s.Server)
	b.get(s.begin("north", "/x")).want(t, 200, "ARRIVED /x")
	if who := s.who(b, "north"); who != "true s-1 Maria Delgado "+p.issuer {
		t.Errorf("who: %s", who)
	}
	asked := p.asked
	for name, want := range map[string]string{
		"response_type": "code", "client_id": "portico", "scope": "openid profile", "code_challenge_method": "S256",
		"redirect_uri": s.URL + "/login/callback",
	} {
		if asked.Get(name) != want {
			t.Errorf("%s=%q, want %q", name, asked.Get(name), want)
		}
	}
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(asked.Get(name)) != 43 {
			t.Errorf("%s=%q is not 256 bits", name, asked.Get(name))
		}
	}
	if asked.Get("state") == asked.Get("nonce") {
		t.Error("state and nonce are the same")
	}
}

func TestIDTokensThatMustNotPass(t *testing.T) {
	for name, change := range map[string]func(p *provider){
		"another nonce":         func(p *provider) { p.claims = func(c map[string]any) { c["nonce"] = "other" } },
		"no nonce":              func(p *provider) { p.claims = func(c map[string]any) { delete(c, "nonce") } },
		"another audience":      func(p *provider) { p.claims = func(c map[string]any) { c["aud"] = "other-client" } },
		"no audience":           func(p *provider) { p.claims = func(c map[string]any) { delete(c, "aud") } },
		"audiences without azp": func(p *provider) { p.claims = func(c map[string]any) { c["aud"] = []string{"portico", "other"} } },
		"azp of another":        func(p *provider) { p.claims = func(c map[string]any) { c["azp"] = "other" } },
		"azp of a strange form": func(p *provider) { p.claims = func(c map[string]any) { c["azp"] = []string{"portico"} } },
		"another issuer":        func(p *provider) { p.claims = func(c map[string]any) { c["iss"] = "https://other.example.org" } },
		"issuer with a slash":   func(p *provider) { p.claims = func(c map[string]any) { c["iss"] = p.issuer + "/" } },
		"no subject":            func(p *provider) { p.claims = func(c map[string]any) { delete(c, "sub") } },
		"empty subject":         func(p *provider) { p.claims = func(c map[string]any) { c["sub"] = "" } },
		"endless subject":       func(p *provider) { p.claims = func(c map[string]any) { c["sub"] = strings.Repeat("x", 256) } },
		"expired past the leeway": func(p *provider) {
			p.claims = func(c map[string]any) { c["exp"] = p.clock.Now().Add(-61 * time.Second).Unix() }
		},
		"no expiry": func(p *provider) { p.claims = func(c map[string]any) { delete(c, "exp") } },
		"issued in the future": func(p *provider) {
			p.claims = func(c map[string]any) { c["iat"] = p.clock.Now().Add(61 * time.Second).Unix() }
		},
		"no iat": func(p *provider) { p.claims = func(c map[string]any) { delete(c, "iat") } },
		"not yet valid": func(p *provider) {
			p.claims = func(c map[string]any) { c["nbf"] = p.clock.Now().Add(time.Hour).Unix() }
		},
		"at_hash of another":    func(p *provider) { p.claims = func(c map[string]any) { c["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA" } },
		"no id_token":           func(p *provider) { p.response = func(r map[string]any) { delete(r, "id_token") } },
		"id_token is no string": func(p *provider) { p.response = func(r map[string]any) { r["id_token"] = 7 } },
		"id_token is no JWT":    func(p *provider) { p.response = func(r map[string]any) { r["id_token"] = "a.b.c" } },
		"alg none":              func(p *provider) { p.sign = func(c map[string]any) string { return unsigned("none", encode(c)) } },
		"alg None":              func(p *provider) { p.sign = func(c map[string]any) string { return unsigned("None", encode(c)) } },
		"alg none, advertised": func(p *provider) {
			p.discovery = func(d map[string]any) { d["id_token_signing_alg_values_supported"] = []string{"none"} }
			p.sign = func(c map[string]any) string { return unsigned("none", encode(c)) }
		},
		"HS256 with the client secret": func(p *provider) {
			p.sign = func(c map[string]any) string { return signHS256([]byte("s3cret"), encode(c)) }
		},
		"HS256 with the client secret, advertised": func(p *provider) {
			p.discovery = func(d map[string]any) { d["id_token_signing_alg_values_supported"] = []string{"HS256", "ES256"} }
			p.sign = func(c map[string]any) string { return signHS256([]byte("s3cret"), encode(c)) }
		},
		"HS256 with the public key": func(p *provider) {
			p.sign = func(c map[string]any) string { return signHS256(publicPEM(p.key), encode(c)) }
		},
		"an algorithm that is not advertised": func(p *provider) {
			p.discovery = func(d map[string]any) { d["id_token_signing_alg_values_supported"] = []string{"RS256"} }
		},
		"a key nobody published": func(p *provider) {
			stranger := newKey(t)
			p.sign = func(c map[string]any) string { return signES256(stranger, "k1", encode(c)) }
		},
		"a key under another id": func(p *provider) {
			p.sign = func(c map[string]any) string { return signES256(p.key, "k9", encode(c)) }
		},
		"a changed payload": func(p *provider) {
			p.sign = func(c map[string]any) string {
				parts := strings.Split(signES256(p.key, "k1", encode(c)), ".")
				c["sub"] = "s-2"
				parts[1] = strings.Split(unsigned("none", encode(c)), ".")[1]
				return strings.Join(parts, ".")
			}
		},
		"a claim twice": func(p *provider) {
			p.sign = func(c map[string]any) string {
				raw := encode(c)
				return signES256(p.key, "k1", append(raw[:len(raw)-1], `,"fhirUser":"Patient/p2"}`...))
			}
		},
		"a second sub in other letters": func(p *provider) {
			p.sign = func(c map[string]any) string {
				raw := encode(c)
				return signES256(p.key, "k1", append(raw[:len(raw)-1], `,"SUB":"s-2"}`...))
			}
		},
		"bad UTF-8": func(p *provider) {
			p.sign = func(c map[string]any) string {
				raw := encode(c)
				return signES256(p.key, "k1", append(raw[:len(raw)-1], ",\"x\":\"\xff\"}"...))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := withFake(t, change, nil)
			b := newBrowser(t, s.Server)
			refused(t, s, b, b.get(s.begin("north", "/x")), http.StatusBadGateway, notChecked)
		})
	}
}

func TestClocksMayDifferByAMinute(t *testing.T) {
	for name, claims := range map[string]func(c map[string]any, now time.Time){
		"just expired":         func(c map[string]any, now time.Time) { c["exp"] = now.Add(-59 * time.Second).Unix() },
		"issued ahead of time": func(c map[string]any, now time.Time) { c["iat"] = now.Add(59 * time.Second).Unix() },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := withFake(t, func(p *provider) {
				p.claims = func(c map[string]any) { claims(c, p.clock.Now()) }
			}, nil)
			newBrowser(t, s.Server).get(s.begin("north", "/x")).want(t, 200, "ARRIVED /x")
		})
	}
}

func TestAuthorizationResponses(t *testing.T) {
	set := func(kv ...string) func(*provider) {
		return func(p *provider) {
			p.answer = func(v url.Values) {
				for i := 0; i+1 < len(kv); i += 2 {
					if kv[i+1] == "" {
						v.Del(kv[i])
						continue
					}
					v.Set(kv[i], kv[i+1])
				}
			}
		}
	}
	advertised := func(and func(*provider)) func(*provider) {
		return func(p *provider) {
			p.discovery = func(d map[string]any) { d["authorization_response_iss_parameter_supported"] = true }
			if and != nil {
				and(p)
			}
		}
	}
	for name, row := range map[string]struct {
		change func(*provider)
		status int
		text   string
	}{
		"iss of another":                {set("iss", "https://evil.example"), 502, notChecked},
		"iss missing though advertised": {advertised(nil), 502, notChecked},
		"iss empty though advertised":   {advertised(func(p *provider) { p.answer = func(v url.Values) { v["iss"] = []string{""} } }), 502, notChecked},
		"iss twice":                     {func(p *provider) { p.answer = func(v url.Values) { v["iss"] = []string{p.issuer, p.issuer} } }, 400, "cannot be continued"},
		"error with iss of another":     {set("code", "", "error", "access_denied", "iss", "https://evil.example"), 502, notChecked},
		"no code":                       {set("code", ""), 502, notChecked},
		"state of another":              {set("state", "AAAA"), 400, "cannot be continued"},
		"a code the provider refuses":   {set("code", "wrong"), 400, "no longer accepts"},
		"cancelled":                     {set("code", "", "error", "access_denied", "error_description", "Maria says no"), 403, "You have not signed in"},
		"error and code":                {set("error", "access_denied"), 403, "You have not signed in"},
		"provider busy":                 {set("code", "", "error", "temporarily_unavailable"), 503, "reports a problem"},
		"provider broken":               {set("code", "", "error", "server_error"), 503, "reports a problem"},
		"request refused":               {set("code", "", "error", "invalid_scope"), 502, "did not accept the request"},
		"an error of its own":           {set("code", "", "error", "<script>alert(1)</script>"), 502, "did not accept the request"},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := withFake(t, row.change, nil)
			b := newBrowser(t, s.Server)
			got := b.get(s.begin("north", "/x"))
			refused(t, s, b, got, row.status, row.text)
			if strings.Contains(got.body, "script") || strings.Contains(got.body, "evil") {
				t.Errorf("the page repeats what came: %s", got.body)
			}
			if row.text == notChecked && p.tokens > 0 {
				t.Error("the code was sent although the answer was not to be trusted")
			}
		})
	}
	t.Run("the right iss, advertised", func(t *testing.T) {
		s, _ := withFake(t, advertised(func(p *provider) { p.answer = func(v url.Values) { v.Set("iss", p.issuer) } }), nil)
		newBrowser(t, s.Server).get(s.begin("north", "/x")).want(t, 200, "ARRIVED /x")
	})
}

func TestTokenEndpointTrouble(t *testing.T) {
	answer := func(status int, contentType, body string) func(*provider) {
		return func(p *provider) {
			p.token = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", contentType)
				w.WriteHeader(status)
				fmt.Fprint(w, body)
			}
		}
	}
	for name, row := range map[string]struct {
		change func(*provider)
		status int
		text   string
	}{
		"down":         {answer(503, "text/html", "Maria"), 503, "reports a problem"},
		"HTML":         {answer(200, "text/html", "<html>Maria"), 503, "does not answer"},
		"not JSON":     {answer(200, "application/json", "{"), 503, "does not answer"},
		"wrong secret": {answer(401, "application/json", `{"error":"invalid_client"}`), 502, "did not accept the request"},
		"redirect": {func(p *provider) {
			p.token = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, p.issuer+"/elsewhere", http.StatusTemporaryRedirect)
			}
		}, 502, "did not accept the request"},
		"broken off": {func(p *provider) {
			p.token = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		}, 503, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := withFake(t, row.change, nil)
			b := newBrowser(t, s.Server)
			refused(t, s, b, b.get(s.begin("north", "/x")), row.status, row.text)
			if name == "redirect" && p.tokens != 1 {
				t.Errorf("%d token requests", p.tokens)
			}
		})
	}
}

func TestUserinfoCompletesTheClaims(t *testing.T) {
	info := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer at" {
				http.Error(w, "token", http.StatusUnauthorized)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, body)
		}
	}
	thin := func(c map[string]any) { delete(c, "fhirUser"); delete(c, "name") }
	for name, row := range map[string]struct {
		claims   func(map[string]any)
		userinfo http.HandlerFunc
		status   int
		text     string
	}{
		"sub of another":                     {thin, info(`{"sub":"s-2","fhirUser":"Patient/p2"}`), 502, notChecked},
		"no sub":                             {thin, info(`{"fhirUser":"Patient/p2"}`), 502, notChecked},
		"sub twice":                          {thin, info(`{"sub":"s-1","sub":"s-1"}`), 502, notChecked},
		"sub in other letters":               {thin, info(`{"SUB":"s-1","fhirUser":"Patient/p2"}`), 502, notChecked},
		"sub and other letters":              {thin, info(`{"sub":"s-2","SUB":"s-1"}`), 502, notChecked},
		"other letters after":                {thin, info(`{"sub":"s-1","SUB":"s-2"}`), 502, notChecked},
		"a claim twice":                      {thin, info(`{"sub":"s-1","fhirUser":"Patient/p1","fhirUser":"Patient/p2"}`), 502, notChecked},
		"sub of another, for the name alone": {func(c map[string]any) { delete(c, "name") }, info(`{"sub":"s-2","name":"x"}`), 502, notChecked},
		"no JSON":                            {thin, info(`<html>`), 503, "does not say who you are"},
		"an error":                           {thin, nil, 503, "does not say who you are"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := withFake(t, func(p *provider) { p.claims, p.userinfo = row.claims, row.userinfo }, nil)
			b := newBrowser(t, s.Server)
			refused(t, s, b, b.get(s.begin("north", "/x")), row.status, row.text)
		})
	}
	t.Run("completes, and overrules nothing", func(t *testing.T) {
		s, _ := withFake(t, func(p *provider) {
			p.claims = func(c map[string]any) { delete(c, "fhirUser"); c["email"] = "signed@example.org" }
			p.userinfo = info(`{"sub":"s-1","fhirUser":["Patient/p1"],"email":"other@example.org","aud":"x","auth_time":1,"acr":"high","mrn":"7"}`)
		}, nil)
		newBrowser(t, s.Server).get(s.begin("north", "/x")).want(t, 200, "ARRIVED /x")
		got := s.enroller.calls[0].claims
		for name, want := range map[string]any{
			"fhirUser": []any{"Patient/p1"}, "email": "signed@example.org", "aud": "portico", "auth_time": nil, "acr": nil, "mrn": "7",
		} {
			if diff := cmp.Diff(want, got[name]); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	})
	t.Run("a name alone is not worth turning anybody away", func(t *testing.T) {
		s, _ := withFake(t, func(p *provider) { p.claims = func(c map[string]any) { delete(c, "name") } }, nil)
		b := newBrowser(t, s.Server)
		b.get(s.begin("north", "/x")).want(t, 200, "ARRIVED /x")
		if who := s.who(b, "north"); !strings.HasPrefix(who, "true s-1  http") {
			t.Errorf("who: %s", who)
		}
	})
	t.Run("not asked when nothing is missing", func(t *testing.T) {
		s, _ := withFake(t, func(p *provider) {
			p.userinfo = func(http.ResponseWriter, *http.Request) { t.Error("userinfo was asked") }
		}, nil)
		newBrowser(t, s.Server).get(s.begin("north", "/x")).want(t, 200, "ARRIVED /x")
	})
}

func TestRotatedKeysAreFetched(t *testing.T) {
	s, p := withFake(t, nil, nil)
	b := newBrowser(t, s.Server)
	b.get(s.begin("north", "/one")).want(t, 200, "ARRIVED /one")
	old, oldKid := p.key, p.kid
	p.rotate(t, "k2")
	b.get(s.begin("north", "/two")).want(t, 200, "ARRIVED /two")
	// A key that was withdrawn is not trusted once the keys are fetched anew.
	p.mu.Lock()
	p.sign = func(c map[string]any) string { return signES256(old, oldKid, encode(c)) }
	p.mu.Unlock()
	b.get(s.begin("north", "/three")).want(t, 502, notChecked)
}

func TestAWithdrawnKeyIsForgottenWithinTheHour(t *testing.T) {
	s, p := withFake(t, nil, nil)
	b := newBrowser(t, s.Server)
	b.get(s.begin("north", "/one")).want(t, 200, "ARRIVED /one")
	p.mu.Lock()
	stolen, kid := p.key, p.kid
	p.public = nil
	p.sign = func(c map[string]any) string { return signES256(stolen, kid, encode(c)) }
	p.mu.Unlock()
	s.clock.add(time.Hour)
	b.get(s.begin("north", "/two")).want(t, 502, notChecked)
}

func TestProviderDownAtStartAndLaterUp(t *testing.T) {
	down := true
	var fake *provider
	s, p := withFake(t, func(p *provider) {
		fake = p
		p.discovery = func(d map[string]any) {
			if down {
				panic(http.ErrAbortHandler)
			}
		}
	}, nil)
	b := newBrowser(t, s.Server)
	text := "Fake Health does not answer. Nothing is wrong with your account."
	refused(t, s, b, b.get(s.begin("north", "/x")), 503, text)
	got := b.get(s.URL + "/login/start?source=north&return_to=/x")
	refused(t, s, b, got, 503, text)
	fake.mu.Lock()
	down = false
	fake.mu.Unlock()
	s.clock.add(3 * time.Second)
	_, retry, _ := strings.Cut(got.body, "retry:")
	b.get(s.URL+strings.TrimSpace(retry)).want(t, 200, "ARRIVED /x")
	// Going down again, what is known of it serves on.
	fake.mu.Lock()
	down = true
	fake.mu.Unlock()
	s.clock.add(2 * time.Hour)
	b.get(s.begin("north", "/y")).want(t, 200, "ARRIVED /y")
	_ = p
}

func TestProviderGoneForGood(t *testing.T) {
	s, p := withFake(t, nil, nil)
	b := newBrowser(t, s.Server)
	callback := b.until(s.begin("north", "/x"), s.URL+"/login/callback")
	p.Close()
	refused(t, s, b, b.get(callback), 503, "does not answer")
}

func TestDiscoveryDocumentsThatMustNotPass(t *testing.T) {
	for name, discovery := range map[string]func(d map[string]any){
		"another issuer":       func(d map[string]any) { d["issuer"] = "https://other.example.org" },
		"issuer with a slash":  func(d map[string]any) { d["issuer"] = fmt.Sprint(d["issuer"], "/") },
		"no issuer":            func(d map[string]any) { delete(d, "issuer") },
		"no token endpoint":    func(d map[string]any) { delete(d, "token_endpoint") },
		"a relative endpoint":  func(d map[string]any) { d["authorization_endpoint"] = "/authorize" },
		"a script as endpoint": func(d map[string]any) { d["authorization_endpoint"] = "javascript:alert(1)" },
		"no keys":              func(d map[string]any) { delete(d, "jwks_uri") },
		"keys in a file":       func(d map[string]any) { d["jwks_uri"] = "file:///etc/passwd" },
		"a user in an endpoint": func(d map[string]any) {
			d["token_endpoint"] = "http://a:b@" + strings.TrimPrefix(fmt.Sprint(d["token_endpoint"]), "http://")
		},
		"a list as endpoint":  func(d map[string]any) { d["token_endpoint"] = []string{"x"} },
		"an endless document": func(d map[string]any) { d["issuer_policy"] = strings.Repeat("x", 2<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := withFake(t, func(p *provider) { p.discovery = discovery }, nil)
			b := newBrowser(t, s.Server)
			refused(t, s, b, b.get(s.begin("north", "/x")), 503, "does not answer")
		})
	}
}

func TestClientAuthentication(t *testing.T) {
	post := func(p *provider) {
		p.discovery = func(d map[string]any) {
			d["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt", "client_secret_post"}
		}
		p.token = func(w http.ResponseWriter, r *http.Request) {
			if _, _, basic := r.BasicAuth(); basic || r.PostFormValue("client_id") != "portico" || r.PostFormValue("client_secret") != "s3cret" {
				http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
				return
			}
			r.SetBasicAuth("portico", "s3cret")
			p.exchange(w, r)
		}
	}
	public := func(p *provider) {
		p.token = func(w http.ResponseWriter, r *http.Request) {
			if _, _, basic := r.BasicAuth(); basic || r.PostFormValue("client_id") != "portico" || r.PostForm.Has("client_secret") {
				http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
				return
			}
			r.SetBasicAuth("portico", "s3cret")
			p.exchange(w, r)
		}
	}
	for name, row := range map[string]struct {
		change    func(*provider)
		configure func(*login.Provider)
	}{
		"secret in the body when the provider takes no other": {post, nil},
		"no secret: PKCE alone":                               {public, func(p *login.Provider) { p.ClientSecret = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := withFake(t, row.change, row.configure)
			newBrowser(t, s.Server).get(s.begin("north", "/x")).want(t, 200, "ARRIVED /x")
			if p.tokens != 1 {
				t.Errorf("%d token requests, want one", p.tokens)
			}
		})
	}
}

func TestAuthTime(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, row := range map[string]struct {
		claim any
		want  time.Time
	}{
		"as given": {now.Add(-time.Hour).Unix(), now.Add(-time.Hour)},
		"none":     {nil, time.Time{}},
		"text":     {"yesterday", time.Time{}},
		"future":   {now.Add(time.Hour).Unix(), time.Time{}},
		"negative": {-5, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := withFake(t, func(p *provider) {
				p.claims = func(c map[string]any) {
					if row.claim != nil {
						c["auth_time"] = row.claim
					}
				}
			}, nil)
			b := newBrowser(t, s.Server)
			b.get(s.begin("north", "/x")).want(t, 200, "ARRIVED /x")
			u, err := url.Parse(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequest(http.MethodGet, s.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range b.Jar.Cookies(u) {
				req.AddCookie(c)
			}
			who, ok := s.party.Current(req, "north")
			if !ok || !who.AuthTime.Equal(row.want) {
				t.Errorf("AuthTime %v, want %v", who.AuthTime, row.want)
			}
		})
	}
}
