package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestKitLimitedAccess(t *testing.T) {
	k := startKit(t)
	keep := []string{"Patient", "Condition", "Observation"}
	for _, tt := range []struct{ name, scope string }{
		{"one by one", kitScopes("launch/patient", "patient", ".rs")}, {"a wildcard", "launch/patient openid fhirUser offline_access patient/*.rs"},
		{"v1", kitScopes("launch/patient", "patient", ".read")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := k.on(t)
			r := k.token(asking{client: "kit-secret", scope: tt.scope, consent: func(v url.Values) {
				v["scope"] = slices.DeleteFunc(v["scope"], func(s string) bool {
					_, rest, resource := strings.Cut(s, "patient/")
					typ, _, _ := strings.Cut(rest, ".")
					return resource && !slices.Contains(keep, typ)
				})
			}})
			for _, s := range r.scopes() {
				if _, rest, ok := strings.Cut(s, "patient/"); ok && s != "launch/patient" {
					if typ, _, _ := strings.Cut(rest, "."); !slices.Contains(keep, typ) {
						t.Errorf("2.4 limited: %s was not given", s)
					}
				}
			}
			for typ := range firstSearches { // 2.3 restricted access
				status := k.fhir(r.str("access_token"), firstSearch(typ, r.str("patient"))).status
				if slices.Contains(keep, typ) {
					k.want("2.3 allowed "+typ, status, http.StatusOK)
				} else {
					k.want("2.3 denied "+typ, status, 401, 403)
				}
			}
			k.want("g10_patient_context", k.fhir(r.str("access_token"), "Patient/"+r.str("patient")).status, http.StatusOK)
		})
	}
}

const (
	kitCondition   = "http://terminology.hl7.org/CodeSystem/condition-category|"
	kitUSCondition = "http://hl7.org/fhir/us/core/CodeSystem/condition-category|"
	kitObservation = "http://terminology.hl7.org/CodeSystem/observation-category|"
	kitUSCore      = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category|"
)

func TestKitGranularScopes(t *testing.T) {
	k := startKit(t)
	full := k.token(asking{client: "kit-secret", scope: "launch/patient openid fhirUser offline_access patient/Patient.rs patient/Condition.rs patient/Observation.rs"})
	patient := full.str("patient")
	for name, granular := range map[string][]string{
		"9.24 granular 1": {
			"patient/Condition.rs?category=" + kitCondition + "encounter-diagnosis", "patient/Condition.rs?category=" + kitUSCondition + "health-concern",
			"patient/Observation.rs?category=" + kitObservation + "laboratory", "patient/Observation.rs?category=" + kitObservation + "social-history",
		},
		"9.25 granular 2": {
			"patient/Condition.rs?category=" + kitCondition + "problem-list-item", "patient/Observation.rs?category=" + kitObservation + "vital-signs",
			"patient/Observation.rs?category=" + kitObservation + "survey", "patient/Observation.rs?category=" + kitUSCore + "sdoh",
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := k.on(t)
			r := k.token(asking{client: "kit-secret", scope: "launch/patient openid fhirUser offline_access patient/Patient.rs " + strings.Join(granular, " ")})
			if !sameSet(r.scopes(), append(strings.Fields("launch/patient openid fhirUser offline_access patient/Patient.rs"), granular...)) {
				t.Errorf("us_core_granted_granular_scopes: %s", r.str("scope"))
			}
			k.granular(full.str("access_token"), r.str("access_token"), patient, granular)
			k.refreshes(r, "kit-secret")
		})
	}
	t.Run("9.28 selection", func(t *testing.T) {
		k := k.on(t)
		picked := []string{"encounter-diagnosis", "laboratory"}
		r := k.token(asking{client: "kit-secret", scope: "launch/patient openid fhirUser offline_access patient/Condition.rs patient/Observation.rs patient/Patient.rs", consent: func(v url.Values) {
			v["part"] = slices.DeleteFunc(v["part"], func(s string) bool {
				return !slices.ContainsFunc(picked, func(p string) bool { return strings.HasSuffix(s, "|"+p) })
			})
		}})
		want := append(strings.Fields("launch/patient openid fhirUser offline_access patient/Patient.rs"),
			"patient/Condition.rs?category="+kitCondition+picked[0], "patient/Observation.rs?category="+kitObservation+picked[1])
		if !sameSet(r.scopes(), want) {
			t.Errorf("granular selection: %s", r.str("scope"))
		}
		k.granular(full.str("access_token"), r.str("access_token"), patient, want)
	})
}

// granular is *_granular_scope_search and *_granular_scope_read: what the narrow
// token finds is what the wide one finds, less what is outside its scopes.
func (k *kit) granular(wide, narrow, patient string, scopes []string) {
	k.Helper()
	for _, typ := range []string{"Condition", "Observation"} {
		in := map[string]bool{}
		for _, s := range scopes {
			if category, ok := strings.CutPrefix(s, "patient/"+typ+".rs?category="); ok {
				found, status := k.ids(wide, typ+"?patient="+patient+"&category="+url.QueryEscape(category), false)
				k.want("wide search by category", status, http.StatusOK)
				for _, id := range found {
					in[id] = true
				}
			}
		}
		queries := []string{typ + "?patient=" + patient, typ + "?patient=Patient/" + patient + "&_count=37"}
		for _, c := range []string{"encounter-diagnosis", "problem-list-item", "health-concern", "laboratory", "vital-signs", "survey", "social-history", "sdoh", kitUSCore + "sdoh", kitObservation + "laboratory,vital-signs"} {
			queries = append(queries, typ+"?patient="+patient+"&category="+url.QueryEscape(c))
		}
		queries = append(queries, k.fromData(wide, patient, typ)...)
		all, _ := k.ids(wide, queries[0], false)
		inside, outside := "", ""
		for _, id := range all {
			if in[id] {
				inside = id
			} else {
				outside = id
			}
		}
		if inside == "" || outside == "" {
			k.Errorf("%s: nothing inside (%q) or outside (%q) of %v", typ, inside, outside, scopes)
		}
		for _, q := range queries {
			if _, known := k.wide[q]; !known {
				found, status := k.ids(wide, q, false)
				k.want("wide "+q, status, http.StatusOK)
				k.wide[q] = found
			}
			expected := slices.DeleteFunc(slices.Clone(k.wide[q]), func(id string) bool { return !in[id] })
			for _, post := range []bool{false, true} {
				got, status := k.ids(narrow, q, post)
				k.want("narrow "+q, status, http.StatusOK)
				if !sameSet(got, expected) {
					k.Errorf("granular search %s (POST %v): %d found, want %d", q, post, len(got), len(expected))
				}
			}
		}
		k.want("granular read inside", k.fhir(narrow, typ+"/"+inside).status, http.StatusOK)
		if r := k.fhir(narrow, typ+"/"+outside); r.status == http.StatusOK || r.str("resourceType") != "OperationOutcome" {
			k.Errorf("granular read outside: %d %s", r.status, r.text)
		}
	}
}

func TestKitBackendServices(t *testing.T) {
	k := startKit(t)
	post := func(change func(url.Values)) reply {
		form := url.Values{
			"grant_type": {"client_credentials"}, "scope": {"system/Patient.rs system/Observation.rs"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {k.assertion("kit-backend", "RS384", nil)},
		}
		change(form)
		return k.call(http.MethodPost, k.at.url(0)+"/oauth/token", form)
	}
	k.want("smart_backend_services_invalid_grant_type", post(func(v url.Values) { v.Set("grant_type", "not_a_grant_type") }).status, http.StatusBadRequest)
	k.want("smart_backend_services_invalid_client_assertion", post(func(v url.Values) { v.Set("client_assertion_type", "not_an_assertion_type") }).status, 400, 401)
	for name, change := range map[string]map[string]any{
		"wrong aud": {"aud": "https://elsewhere.example"}, "expired": {"exp": time.Now().Add(-time.Minute).Unix()},
		"exp too far ahead": {"exp": time.Now().Add(10 * time.Minute).Unix()}, "unknown kid": {"KID": "nobody"}, "another kind of key": {"KID": "ES384"},
		"alg RS256": {"ALG": "RS256"}, "alg ES384 under the RSA kid": {"ALG": "ES384", "KEY": k.keys["ES384"]}, "another iss": {"iss": "kit-key"}, "no jti": {"jti": ""},
		"unknown client": {"iss": "nobody", "sub": "nobody"},
	} {
		r := post(func(v url.Values) { v.Set("client_assertion", k.assertion("kit-backend", "RS384", change)) })
		if k.want("invalid_jwt, "+name, r.status, 400, 401); r.str("error") != "invalid_client" {
			t.Errorf("%s: %s", name, r.text)
		}
	}
	for _, kid := range []string{"RS384", "ES384"} {
		assertion := k.assertion("kit-backend", kid, nil)
		r := post(func(v url.Values) { v.Set("client_assertion", assertion) })
		k.checkToken(r, "kit-backend")
		if expires, _ := r.json["expires_in"].(float64); expires > 300 || !sameSet(r.scopes(), []string{"system/Patient.rs", "system/Observation.rs"}) {
			t.Errorf("smart_backend_services_auth_response_body: %s", r.text)
		}
		k.want("a replayed jti", post(func(v url.Values) { v.Set("client_assertion", assertion) }).status, 400, 401)
	}
}

func TestKitProxyAndSmallRows(t *testing.T) {
	k := startKit(t)
	t.Run("section 7, 4: a proxy's RelatedPerson is readable", func(t *testing.T) {
		k := k.on(t)
		d := &running{t: t, port: k.at.ports[0]}
		app := newApp(t, d, strings.Fields(kitScopes("launch/patient", "patient", ".rs"))...)
		seen := 0
		for _, id := range []int{0, 1} {
			b := newBrowser(t, app.config.RedirectURL).do(http.MethodGet, app.authorizeURL(), nil).signIn("maria")
			r := app.exchange(t, b.submit("patient", func(v url.Values) { v.Set("patient", offered(b.body)[id]) }).allow().arrived())
			raw, _ := r.Extra("id_token").(string)
			user, _ := claimsOf(t, raw)["fhirUser"].(string)
			status, _ := fetch(t, user, r.AccessToken)
			k.want(user, status, http.StatusOK)
			if strings.Contains(user, "/RelatedPerson/") {
				seen++
			}
		}
		if seen != 1 {
			t.Errorf("%d of two are RelatedPerson", seen)
		}
	})
	t.Run("smart_app_redirect by POST from the kit's own page", func(t *testing.T) {
		k := k.on(t)
		for _, origin := range []string{kitOrigin, "null"} {
			b := newBrowser(t, kitRedirect)
			form := k.request("kit-secret", "launch/patient openid patient/Patient.rs", "s", "")
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, k.at.url(0)+"/oauth/authorize", strings.NewReader(form.Encode()))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Origin", origin)
			req.Header.Set("Sec-Fetch-Site", "cross-site")
			resp, err := b.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Request.URL.String(), k.at.url(2)) {
				t.Errorf("from %s: %d at %s", origin, resp.StatusCode, resp.Request.URL)
			}
		}
	})
	t.Run("9.17 BAD_CLIENT_ID of the other kinds", func(t *testing.T) {
		k := k.on(t)
		form := url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "redirect_uri": {kitRedirect}, "code_verifier": {strings.Repeat("v", 43)}, "client_id": {"BAD_CLIENT_ID"}}
		k.want("public", k.call(http.MethodPost, k.at.url(0)+"/oauth/token", form).status, 400, 401)
		form.Del("client_id")
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", k.assertion("BAD_CLIENT_ID", "ES384", nil))
		k.want("asymmetric", k.call(http.MethodPost, k.at.url(0)+"/oauth/token", form).status, 400, 401)
	})
	t.Run("16, 17 preflights", func(t *testing.T) {
		k := k.on(t)
		for path, method := range map[string]string{
			"/fhir/demo/.well-known/smart-configuration": "GET", "/fhir/demo/metadata": "GET", "/fhir/demo/Patient/1": "GET", "/fhir/demo/Patient/_search": "POST",
			"/oauth/token": "POST", "/oauth/introspect": "POST", "/oauth/revoke": "POST", "/oauth/jwks": "GET", "/.well-known/openid-configuration": "GET",
		} {
			r := k.call(http.MethodOptions, k.at.url(0)+path, nil, "Origin", kitOrigin, "Access-Control-Request-Method", method, "Access-Control-Request-Headers", "authorization,content-type")
			origin := r.header.Get("Access-Control-Allow-Origin")
			if r.status/100 != 2 || origin != "*" && origin != kitOrigin || !strings.Contains(r.header.Get("Access-Control-Allow-Methods"), method) ||
				!strings.Contains(strings.ToLower(r.header.Get("Access-Control-Allow-Headers")), "authorization") {
				t.Errorf("%s: %d %v", path, r.status, r.header)
			}
		}
	})
	t.Run("permission-online", func(t *testing.T) {
		k := k.on(t)
		r := k.token(asking{client: "kit-secret", scope: "launch/patient openid online_access patient/Patient.rs"})
		if !slices.Contains(r.scopes(), "online_access") {
			t.Errorf("scope %q", r.str("scope"))
		}
		r = k.post("/oauth/token", "kit-secret", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.str("refresh_token")}})
		k.checkToken(r, "kit-secret")
	})
	t.Run("164: data without launch/patient", func(t *testing.T) {
		k := k.on(t)
		r := k.token(asking{client: "kit-public", scope: "patient/*.read"})
		if r.str("patient") != k.patients[0] || r.str("scope") != "patient/*.read" {
			t.Errorf("%s", r.text)
		}
	})
	t.Run("granular, unknown and system scopes beside each other: what cannot be is left out", func(t *testing.T) {
		k := k.on(t)
		r := k.token(asking{client: "kit-secret", scope: "launch/patient patient/Patient.rs patient/Observation.rs?category=" + kitObservation + "laboratory patient/Condition.rs?code=x|y patient/Observation.sr system/Patient.rs patient/Patient.cruds"})
		if !sameSet(r.scopes(), []string{"launch/patient", "patient/Patient.rs", "patient/Observation.rs?category=" + kitObservation + "laboratory"}) {
			t.Errorf("%s", r.str("scope"))
		}
	})
	t.Run("AUT-PAT-28 granular scopes of user level", func(t *testing.T) {
		k := k.on(t)
		labs := "user/Observation.rs?category=" + kitObservation + "laboratory"
		r := k.token(asking{client: "kit-secret", scope: "launch openid fhirUser offline_access user/Patient.rs user/Practitioner.rs " + labs, launch: true})
		if !slices.Contains(r.scopes(), labs) || slices.Contains(r.scopes(), "user/Observation.rs") {
			t.Errorf("scope %q", r.str("scope"))
		}
		all, _ := k.ids(r.str("access_token"), "Observation?patient="+r.str("patient"), false)
		some, _ := k.ids(r.str("access_token"), "Observation?patient="+r.str("patient")+"&category=laboratory", false)
		if len(some) == 0 || !sameSet(all, some) {
			t.Errorf("%d found, of which %d are laboratory", len(all), len(some))
		}
		k.want("another type", k.fhir(r.str("access_token"), "Condition?patient="+r.str("patient")).status, 401, 403)
	})
	t.Run("2.2 directory types are readable where the record refers to them", func(t *testing.T) {
		k := k.on(t)
		r := k.token(asking{client: "kit-secret", scope: kitScopes("launch/patient", "patient", ".rs")})
		found := map[string]string{}
		for typ := range firstSearches {
			text := k.fhir(r.str("access_token"), firstSearch(typ, r.str("patient"))+"&_count=200").text
			for _, directory := range []string{"Practitioner", "PractitionerRole", "Organization", "Location", "Medication", "RelatedPerson", "Specimen", "Provenance"} {
				for _, before := range []string{`"` + directory + "/", k.base() + "/" + directory + "/"} {
					if _, rest, ok := strings.Cut(text, before); ok {
						id, _, _ := strings.Cut(rest, `"`)
						found[directory] = directory + "/" + id
					}
				}
			}
		}
		for _, directory := range []string{"Practitioner", "Organization", "Location", "Medication"} {
			if found[directory] == "" {
				t.Errorf("no reference to a %s", directory)
			}
		}
		for _, ref := range found {
			k.want(ref, k.fhir(r.str("access_token"), ref).status, http.StatusOK)
		}
		for _, typ := range []string{"AllergyIntolerance", "CarePlan", "Condition", "Observation", "Procedure"} {
			if got := k.fhir(r.str("access_token"), firstSearch(typ, r.str("patient"))+"&_revinclude=Provenance:target"); !strings.Contains(got.text, `"resourceType":"Provenance"`) {
				t.Errorf("%s: no Provenance", typ)
			}
		}
	})
	t.Run("2.7 Patient searches under a patient token", func(t *testing.T) {
		k := k.on(t)
		r := k.token(asking{client: "kit-key", scope: "launch/patient openid patient/Patient.rs"})
		p := k.fhir(r.str("access_token"), "Patient/"+r.str("patient"))
		var who struct {
			Gender, BirthDate string
			Name              []struct{ Family string }
			Identifier        []struct{ System, Value string }
		}
		if err := json.Unmarshal([]byte(p.text), &who); err != nil {
			t.Fatal(err)
		}
		for _, q := range []string{
			"_id=" + r.str("patient"), "identifier=" + url.QueryEscape(who.Identifier[0].System+"|"+who.Identifier[0].Value), "name=" + who.Name[0].Family,
			"birthdate=" + who.BirthDate + "&name=" + who.Name[0].Family, "gender=" + who.Gender + "&name=" + who.Name[0].Family,
		} {
			for _, post := range []bool{false, true} {
				if found, _ := k.ids(r.str("access_token"), "Patient?"+q, post); !slices.Equal(found, []string{r.str("patient")}) {
					t.Errorf("Patient?%s: %v", q, found)
				}
			}
		}
	})
}

// fromData makes the searches whose values the kit takes from what it saw
// before: code, date and status, with and without a category.
func (k *kit) fromData(bearer, patient, typ string) []string {
	k.Helper()
	var seen struct {
		Entry []struct {
			Resource struct {
				Code struct {
					Coding []struct{ System, Code string }
				}
				EffectiveDateTime, RecordedDate string
			}
		}
	}
	if err := json.Unmarshal([]byte(k.fhir(bearer, typ+"?_count=200&patient="+patient).text), &seen); err != nil {
		k.Fatal(err)
	}
	first := typ + "?patient=" + patient
	codes := map[string]bool{}
	var out []string
	date, when := "date", ""
	if typ == "Condition" {
		date = "recorded-date"
		out = append(out, first+"&clinical-status=active", first+"&clinical-status=active&category=problem-list-item")
	} else {
		out = append(out, first+"&status=final&category=vital-signs", first+"&status=final,amended&category=laboratory")
	}
	for _, e := range seen.Entry {
		if at := e.Resource.EffectiveDateTime + e.Resource.RecordedDate; at != "" && when == "" {
			when = at
		}
		for _, c := range e.Resource.Code.Coding {
			if text := url.QueryEscape(c.System + "|" + c.Code); !codes[text] && len(codes) < 8 {
				codes[text] = true
				out = append(out, first+"&code="+text)
			}
		}
	}
	if when == "" || len(codes) == 0 {
		k.Errorf("%s: no date or no codes", typ)
	}
	for _, prefix := range []string{"gt", "ge", "lt", "le"} {
		out = append(out, first+"&"+date+"="+prefix+url.QueryEscape(when))
	}
	if typ == "Observation" {
		out = append(out, first+"&category=laboratory&date=ge"+url.QueryEscape(when), first+"&category=vital-signs&date=lt"+url.QueryEscape(when))
	}
	return out
}
