package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestKitDiscovery(t *testing.T) {
	k := startKit(t)
	for _, accept := range []string{"application/json", "application/fhir+xml", ""} {
		r := k.call(http.MethodGet, k.base()+"/.well-known/smart-configuration", nil, "Accept", accept, "Origin", kitOrigin)
		if r.status != http.StatusOK || !strings.HasPrefix(r.header.Get("Content-Type"), "application/json") || r.json == nil || r.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Fatalf("well_known_endpoint, smart_cors_well_known_endpoint: %d %v", r.status, r.header)
		}
	}
	r := k.call(http.MethodGet, k.base()+"/.well-known/smart-configuration", nil)
	list := func(name string) []string {
		var out []string
		values, _ := r.json[name].([]any)
		for _, v := range values {
			s, _ := v.(string)
			out = append(out, s)
		}
		return out
	}
	for name, all := range map[string]string{
		// g10_smart_well_known_capabilities, standalone and EHR.
		"capabilities": `launch-standalone client-public client-confidential-symmetric client-confidential-asymmetric sso-openid-connect
			context-standalone-patient permission-offline permission-patient authorize-post permission-v2 permission-v1
			launch-ehr context-banner context-style context-ehr-patient context-ehr-encounter permission-user`,
		"grant_types_supported":                            "authorization_code client_credentials refresh_token", // AUT-PAT-25
		"code_challenge_methods_supported":                 "S256",
		"token_endpoint_auth_methods_supported":            "private_key_jwt client_secret_basic",
		"token_endpoint_auth_signing_alg_values_supported": "RS384 ES384",
		"scopes_supported":                                 "openid fhirUser launch launch/patient offline_access",
	} {
		for _, want := range strings.Fields(all) {
			if !slices.Contains(list(name), want) {
				t.Errorf("%s: no %s in %v", name, want, list(name))
			}
		}
	}
	if slices.Contains(list("code_challenge_methods_supported"), "plain") {
		t.Error("well_known_capabilities_stu2: plain is listed")
	}
	for _, name := range strings.Fields("issuer jwks_uri authorization_endpoint token_endpoint introspection_endpoint revocation_endpoint") {
		if u, err := url.Parse(r.str(name)); err != nil || !u.IsAbs() {
			t.Errorf("%s is not absolute: %q", name, r.str(name))
		}
	}
	meta := k.call(http.MethodGet, k.base()+"/metadata", nil, "Origin", kitOrigin)
	if meta.status != http.StatusOK || meta.header.Get("Access-Control-Allow-Origin") == "" || meta.str("fhirVersion") != "4.0.1" {
		t.Errorf("smart_cors_metadata_request: %d %v", meta.status, meta.header)
	}
	config := k.call(http.MethodGet, r.str("issuer")+"/.well-known/openid-configuration", nil)
	k.want("smart_openid_retrieve_configuration", config.status, http.StatusOK)
	for _, name := range strings.Fields("issuer authorization_endpoint token_endpoint jwks_uri response_types_supported subject_types_supported id_token_signing_alg_values_supported") {
		if config.json[name] == nil {
			t.Errorf("smart_openid_required_configuration_fields: %s", name)
		}
	}
	if config.str("issuer") != r.str("issuer") || !strings.Contains(config.text, `"RS256"`) {
		t.Errorf("smart_openid_required_configuration_fields: %s", config.text)
	}
}

// identity is 1.5, 1.10, 1.11: OpenID Connect.
func (k *kit) identity(r reply, client string, types ...string) {
	k.Helper()
	config := k.call(http.MethodGet, k.at.url(0)+"/.well-known/openid-configuration", nil)
	keys := k.call(http.MethodGet, config.str("jwks_uri"), nil)
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(keys.text), &set); err != nil {
		k.Fatalf("smart_openid_retrieve_jwks: %v", err)
	}
	jws, err := jose.ParseSignedCompact(r.str("id_token"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		k.Fatalf("smart_openid_decode_id_token: %v", err)
	}
	found := set.Key(jws.Signatures[0].Header.KeyID)
	if len(found) != 1 {
		k.Fatalf("smart_openid_token_header: kid %q", jws.Signatures[0].Header.KeyID)
	}
	payload, err := jws.Verify(found[0])
	if err != nil {
		k.Fatalf("smart_openid_token_payload: %v", err)
	}
	var claims struct {
		Iss, Sub, Aud, FHIRUser string
		Exp, Iat                int64
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		k.Fatal(err)
	}
	if claims.Iss != config.str("issuer") || claims.Aud != client || claims.Exp < time.Now().Unix() || claims.Iat == 0 || claims.Sub == "" || len(claims.Sub) > 255 {
		k.Errorf("smart_openid_token_payload: %+v", claims)
	}
	user := k.call(http.MethodGet, claims.FHIRUser, nil, "Authorization", "Bearer "+r.str("access_token"), "Origin", kitOrigin)
	parts := strings.Split(claims.FHIRUser, "/")
	if user.status != http.StatusOK || !slices.Contains(types, user.str("resourceType")) || parts[len(parts)-2] != user.str("resourceType") || user.header.Get("Access-Control-Allow-Origin") == "" {
		k.Errorf("smart_openid_fhir_user_claim, smart_cors_openid_fhir_user_claim: %s: %d", claims.FHIRUser, user.status)
	}
}

// refreshes is g10_token_refresh: twice in a row, without and with scope.
func (k *kit) refreshes(r reply, client string) reply {
	k.Helper()
	received := r.str("scope")
	for _, form := range []url.Values{{}, {"scope": {received}}} {
		form.Set("grant_type", "refresh_token")
		form.Set("refresh_token", r.str("refresh_token"))
		r = k.post("/oauth/token", client, form)
		k.checkToken(r, client)
		if !sameSet(r.scopes(), strings.Fields(received)) {
			k.Errorf("g10_token_refresh_body: scope %q", r.str("scope"))
		}
		k.want("g10_patient_context after refresh", k.fhir(r.str("access_token"), "Patient/"+k.patients[0]).status, http.StatusOK)
	}
	bad := k.post("/oauth/token", client, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"0b5e9a20-invalid"}})
	k.want("g10_invalid_token_refresh", bad.status, 400, 401)
	return r
}

func TestKitStandaloneLaunchWithEachKindOfClient(t *testing.T) {
	k := startKit(t)
	for _, tt := range []struct {
		name, client, suffix, aud string
		post                      bool
	}{
		{"1.9 full access, secret, v2", "kit-secret", ".rs", "", false},
		{"1.9 by POST, aud with a slash", "kit-secret", ".rs", "/", true},
		{"9.16 public", "kit-public", ".rs", "", false},
		{"9.21 asymmetric", "kit-key", ".rs", "", true},
		{"9.22 v1", "kit-secret", ".read", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := k.on(t)
			asked := kitScopes("launch/patient", "patient", tt.suffix)
			r := k.token(asking{client: tt.client, scope: asked, aud: k.base() + tt.aud, post: tt.post})
			if !sameSet(r.scopes(), strings.Fields(asked)) {
				t.Errorf("g10_smart_scopes: asked\n%s\ngot\n%s", asked, r.str("scope"))
			}
			if r.str("patient") != k.patients[0] {
				t.Errorf("patient %q", r.str("patient"))
			}
			k.identity(r, tt.client, "Patient")
			k.want("g10_unauthorized_access", k.fhir("", "Patient/"+r.str("patient")).status, http.StatusUnauthorized)
			got := k.fhir(r.str("access_token"), "Patient/"+r.str("patient"))
			if got.status != http.StatusOK || got.str("resourceType") != "Patient" {
				t.Errorf("g10_patient_context: %d", got.status)
			}
			for typ := range firstSearches { // 1.7, 9.22 unrestricted access
				k.want(firstSearch(typ, r.str("patient")), k.fhir(r.str("access_token"), firstSearch(typ, r.str("patient"))).status, http.StatusOK)
			}
			r = k.refreshes(r, tt.client)
			k.introspects(r, tt.client)
			k.revokes(r, tt.client)
		})
	}
}

// introspects is 9.20.
func (k *kit) introspects(r reply, client string) {
	k.Helper()
	ask := func(token string) reply {
		if client == "kit-public" {
			return k.call(http.MethodPost, k.at.url(0)+"/oauth/introspect", url.Values{"token": {token}}, "Authorization", "Bearer "+r.str("access_token"), "Accept", "application/json")
		}
		return k.post("/oauth/introspect", client, url.Values{"token": {token}})
	}
	said := ask(r.str("access_token"))
	claims := claimsOf(k.T, r.str("id_token"))
	if said.status != http.StatusOK || said.json["active"] != true || said.str("client_id") != client || !sameSet(said.scopes(), r.scopes()) || said.json["exp"] == nil ||
		said.json["patient"] != r.json["patient"] || said.json["encounter"] != r.json["encounter"] ||
		said.json["iss"] != claims["iss"] || said.json["sub"] != claims["sub"] || said.json["fhirUser"] != claims["fhirUser"] {
		k.Errorf("introspection, active: %d %s", said.status, said.text)
	}
	said = ask("invalid_token_value")
	if said.status != http.StatusOK || strings.TrimSpace(said.text) != `{"active":false}` {
		k.Errorf("introspection, invalid: %d %s", said.status, said.text)
	}
}

// revokes is 9.3, by the app itself; by the person it is the page of apps.
func (k *kit) revokes(r reply, client string) {
	k.Helper()
	k.want("revocation", k.post("/oauth/revoke", client, url.Values{"token": {r.str("refresh_token")}}).status, http.StatusOK)
	k.want("9.3 read", k.fhir(r.str("access_token"), "Patient/"+r.str("patient")).status, 401, 403, 404)
	bad := k.post("/oauth/token", client, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.str("refresh_token")}})
	k.want("9.3 refresh", bad.status, 400, 401)
}

func TestKitLaunchFromTheEHR(t *testing.T) {
	k := startKit(t)
	for _, tt := range []struct{ name, client, level, suffix string }{
		{"3 practitioner", "kit-secret", "user", ".rs"}, {"9.19 patient scopes", "kit-secret", "patient", ".rs"}, {"3 v1, key", "kit-key", "user", ".read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := k.on(t)
			asked := kitScopes("launch", tt.level, tt.suffix)
			r := k.token(asking{client: tt.client, scope: asked, launch: true})
			if !sameSet(r.scopes(), strings.Fields(asked)) {
				t.Errorf("g10_smart_scopes: asked\n%s\ngot\n%s", asked, r.str("scope"))
			}
			k.identity(r, tt.client, "Practitioner")
			k.want("g10_patient_context", k.fhir(r.str("access_token"), "Patient/"+r.str("patient")).status, http.StatusOK)
			k.want("g10_encounter_context", k.fhir(r.str("access_token"), "Encounter/"+r.str("encounter")).status, http.StatusOK)
			style := k.call(http.MethodGet, r.str("smart_style_url"), nil)
			if style.status != http.StatusOK || style.json == nil {
				t.Errorf("Test13: %d %s", style.status, style.text)
			}
			if _, boolean := r.json["need_patient_banner"].(bool); !boolean {
				t.Errorf("Test14: %v", r.json["need_patient_banner"])
			}
			for typ := range firstSearches {
				k.want(firstSearch(typ, r.str("patient")), k.fhir(r.str("access_token"), firstSearch(typ, r.str("patient"))).status, http.StatusOK)
			}
			r = k.refreshes(r, tt.client)
			k.introspects(r, tt.client)
		})
	}
}

func TestKitNegatives(t *testing.T) {
	k := startKit(t)
	small := "launch/patient openid fhirUser offline_access patient/Patient.rs"
	t.Run("9.4 invalid aud", func(t *testing.T) {
		if back := k.on(t).launch(asking{client: "kit-secret", scope: small, aud: "https://inferno.healthit.gov/invalid_aud"}).back; back.Has("code") || !back.Has("error") {
			t.Errorf("came back with %v", back)
		}
	})
	t.Run("9.17 invalid token request", func(t *testing.T) {
		k := k.on(t)
		f := k.launch(asking{client: "kit-secret", scope: small})
		k.want("code=BAD_CODE", f.exchange(func(v url.Values) { v.Set("code", "BAD_CODE") }).status, http.StatusBadRequest)
		form := url.Values{"grant_type": {"authorization_code"}, "code": {f.back.Get("code")}, "redirect_uri": {kitRedirect}, "code_verifier": {f.verifier}}
		basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("BAD_CLIENT_ID:"+kitSecret))
		k.want("BAD_CLIENT_ID", k.call(http.MethodPost, k.at.url(0)+"/oauth/token", form, "Authorization", basic).status, 400, 401)
	})
	for name, change := range map[string]func(url.Values, string){
		"no verifier":      func(v url.Values, _ string) { v.Del("code_verifier") },
		"a blank verifier": func(v url.Values, _ string) { v.Set("code_verifier", "") },
		"a wrong verifier": func(v url.Values, _ string) { v.Set("code_verifier", strings.Repeat("f00d", 16)) },
		"the challenge":    func(v url.Values, c string) { v.Set("code_verifier", c) },
	} {
		for _, client := range []string{"kit-secret", "kit-public"} {
			t.Run("9.18 PKCE, "+name+", "+client, func(t *testing.T) {
				k := k.on(t)
				f := k.launch(asking{client: client, scope: small})
				r := f.exchange(func(v url.Values) { change(v, challengeOf(f.verifier)) })
				k.want("token endpoint", r.status, 400, 401)
			})
		}
	}
}
