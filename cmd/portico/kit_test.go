package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/internal/demo/ehr"
)

// This file acts as the certification kits do (SMART App Launch 2.2 and
// (g)(10)), in front of the demo's EHR and provider: the same requests, the same
// assertions, cited by the kit's names.

const (
	kitRedirect = "http://localhost:4567/custom/smart/redirect"
	kitLaunch   = "http://localhost:4567/custom/smart/launch"
	kitSecret   = "kit-secret-kit-secret-kit-secret-kit"
	kitToken    = "0123456789abcdef0123456789abcdef"
	kitOrigin   = "https://inferno.healthit.gov"
)

// kit is one Portico with the clients that the kits are registered as.
type kit struct {
	*testing.T
	at       *demoPorts
	keys     map[string]any // by kid
	login    string         // who signs in
	patients []string
	wide     map[string][]string // what a token for everything found
	portico  *app
	hospital *ehr.Server
}

func startKit(t *testing.T) *kit {
	t.Helper()
	return startKitWith(t, slog.DiscardHandler, func(*config.Config) {})
}

func startKitWith(t *testing.T, log slog.Handler, change func(*config.Config)) *kit {
	t.Helper()
	k := &kit{T: t, login: "alice", keys: map[string]any{}, wide: map[string][]string{}}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k.keys["RS384"], k.keys["ES384"] = rsaKey, ecKey
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: rsaKey.Public(), KeyID: "RS384", Algorithm: "RS384", Use: "sig"}, {Key: ecKey.Public(), KeyID: "ES384", Algorithm: "ES384", Use: "sig"},
	}}
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(set)
	}))
	t.Cleanup(keys.Close)

	o := demoOptions{host: "localhost", port: freeBlock(t), patients: 12}
	k.at, err = demoListen(t.Context(), o.host, o.port)
	if err != nil {
		t.Fatal(err)
	}
	hospital := ehr.New(ehr.Options{})
	cast, err := demoRecords(o, k.at.url(1)+"/fhir", hospital, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range cast.People {
		for _, u := range p.FHIRUser {
			if id, ok := strings.CutPrefix(u, "Patient/"); ok {
				k.patients = append(k.patients, id)
			}
		}
	}
	provider, err := demoProvider(o, k.at, cast, kitSecret)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := demoConfig(o, k.at, kitSecret, filepath.Join(t.TempDir(), "portico.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	front, err := demoScreen(k.at, cfg, cast, kitToken, hospital)
	if err != nil {
		t.Fatal(err)
	}
	app := func(id, kind string) config.Client {
		return config.Client{ID: id, Name: id, Owner: "Kit", Type: kind, RedirectURIs: []string{kitRedirect}, LaunchURIs: []string{kitLaunch}}
	}
	secret, key, backend := app("kit-secret", config.ClientConfidential), app("kit-key", config.ClientConfidential), app("kit-backend", config.ClientConfidential)
	secret.Secret = config.NewSecret(kitSecret)
	key.JWKSURI, backend.JWKSURI = keys.URL, keys.URL
	backend.RedirectURIs, backend.LaunchURIs, backend.Scopes = nil, nil, []string{"system/*.rs"}
	cfg.Clients = append(cfg.Clients, app("kit-public", config.ClientPublic), secret, key, backend)
	change(cfg)
	portico, err := build(t.Context(), cfg, slog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	k.portico, k.hospital = portico, hospital
	k.at.serve([]http.Handler{portico.Handler, front, provider, http.NotFoundHandler()})
	t.Cleanup(func() {
		k.at.shutdown()
		if err := portico.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return k
}

func (k *kit) base() string { return k.at.url(0) + "/fhir/demo" }

// on gives the kit to a subtest.
func (k *kit) on(t *testing.T) *kit {
	t.Helper()
	c := *k
	c.T = t
	return &c
}

// reply is one answer, read whole.
type reply struct {
	status int
	header http.Header
	text   string
	json   map[string]any
}

func (r reply) str(name string) string { s, _ := r.json[name].(string); return s }

func (r reply) scopes() []string { return strings.Fields(r.str("scope")) }

func (k *kit) call(method, target string, form url.Values, header ...string) reply {
	k.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(k.Context(), method, target, body)
	if err != nil {
		k.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		k.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		k.Fatal(err)
	}
	r := reply{status: resp.StatusCode, header: resp.Header, text: string(raw)}
	_ = json.Unmarshal(raw, &r.json)
	return r
}

func (k *kit) fhir(bearer, path string) reply {
	k.Helper()
	header := []string{"Accept", "application/fhir+json"}
	if bearer != "" {
		header = append(header, "Authorization", "Bearer "+bearer)
	}
	return k.call(http.MethodGet, k.base()+"/"+path, nil, header...)
}

func (k *kit) want(what string, got int, allowed ...int) {
	k.Helper()
	if !slices.Contains(allowed, got) {
		k.Errorf("%s: %d, want %v", what, got, allowed)
	}
}

// flow is one launch of the kit.
type flow struct {
	k        *kit
	client   string
	verifier string
	back     url.Values
}

type asking struct {
	client, scope, aud string
	launch             bool
	post               bool
	consent            func(url.Values)
}

// launch is smart_app_redirect up to smart_code_received.
func (k *kit) launch(a asking) *flow {
	k.Helper()
	f := &flow{k: k, client: a.client, verifier: oauth2.GenerateVerifier()}
	if a.aud == "" {
		a.aud = k.base()
	}
	state := "s t/a+t&e=%" + hex.EncodeToString([]byte(f.verifier[:8]))
	q := k.request(a.client, a.scope, state, f.verifier)
	q.Set("aud", a.aud)
	login := k.login
	if a.launch {
		login = "doctor"
		q.Set("launch", k.fromEHR(a.client))
	}
	b := newBrowser(k.T, kitRedirect)
	if a.post {
		b.do(http.MethodPost, k.at.url(0)+"/oauth/authorize", q)
	} else {
		b.do(http.MethodGet, k.at.url(0)+"/oauth/authorize?"+q.Encode(), nil)
	}
	if !strings.Contains(b.body, `name="password"`) {
		f.back = b.arrived()
		return f
	}
	b.signIn(login).submit("decision", func(v url.Values) {
		v.Set("decision", "allow")
		if a.consent != nil {
			a.consent(v)
		}
	})
	f.back = b.arrived()
	if f.back.Get("state") != state {
		k.Errorf("smart_code_received: state %q is not %q", f.back.Get("state"), state)
	}
	return f
}

func (k *kit) request(client, scope, state, verifier string) url.Values {
	return url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {kitRedirect}, "scope": {scope}, "state": {state}, "aud": {k.base()},
		"code_challenge": {challengeOf(verifier)}, "code_challenge_method": {"S256"},
	}
}

// fromEHR has the EHR create a launch: smart_app_launch, smart_launch_received.
func (k *kit) fromEHR(client string) string {
	k.Helper()
	patient := k.patients[0]
	var visits struct {
		Entry []struct{ Resource struct{ ID string } }
	}
	if err := json.Unmarshal([]byte(k.call(http.MethodGet, k.at.url(1)+"/fhir/Encounter?_count=1&patient="+patient, nil).text), &visits); err != nil || len(visits.Entry) == 0 {
		k.Fatalf("no encounter: %v", err)
	}
	body, _ := json.Marshal(map[string]any{"patient": patient, "encounter": visits.Entry[0].Resource.ID, "client_id": client})
	req, _ := http.NewRequestWithContext(k.Context(), http.MethodPost, k.at.url(0)+"/ehr/launch", strings.NewReader(string(body)))
	req.Header.Set("Authorization", "Bearer "+kitToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		k.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var said struct {
		Launch    string
		LaunchURL string `json:"launch_url"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil {
		k.Fatal(err)
	}
	u, err := url.Parse(said.LaunchURL)
	if err != nil || !strings.HasPrefix(said.LaunchURL, kitLaunch) || u.Query().Get("iss") != k.base() || u.Query().Get("launch") != said.Launch || said.Launch == "" {
		k.Fatalf("smart_launch_received: %d %+v", resp.StatusCode, said)
	}
	return said.Launch
}

// post is a token request with the client's own authentication.
func (k *kit) post(path, client string, form url.Values) reply {
	k.Helper()
	var header []string
	switch client {
	case "kit-public":
		form.Set("client_id", client)
		header = []string{"Origin", kitOrigin}
	case "kit-secret":
		r, _ := http.NewRequestWithContext(k.Context(), http.MethodPost, "/", nil)
		r.SetBasicAuth(client, kitSecret)
		header = []string{"Authorization", r.Header.Get("Authorization")}
	case "kit-key":
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", k.assertion(client, "ES384", nil))
	default:
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", k.assertion(client, "RS384", nil))
	}
	return k.call(http.MethodPost, k.at.url(0)+path, form, header...)
}

// assertion is the kit's: exp five minutes ahead, a jti of 64 hex characters.
func (k *kit) assertion(client, kid string, change map[string]any) string {
	k.Helper()
	var jti [32]byte
	_, _ = rand.Read(jti[:])
	claims := map[string]any{
		"iss": client, "sub": client, "aud": k.at.url(0) + "/oauth/token",
		"exp": time.Now().Add(5 * time.Minute).Unix(), "jti": hex.EncodeToString(jti[:]),
	}
	key, alg, header := k.keys[kid], jose.SignatureAlgorithm(kid), kid
	for name, v := range change {
		switch name {
		case "KID":
			header, _ = v.(string)
		case "ALG":
			alg = jose.SignatureAlgorithm(v.(string)) //nolint:errcheck,forcetypeassert // a test
		case "KEY":
			key = v
		default:
			claims[name] = v
		}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", header))
	if err != nil {
		k.Fatal(err)
	}
	payload, _ := json.Marshal(claims)
	signed, err := signer.Sign(payload)
	if err != nil {
		k.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		k.Fatal(err)
	}
	return text
}

func (f *flow) exchange(change func(url.Values)) reply {
	f.k.Helper()
	if f.back.Get("code") == "" || f.back.Has("error") {
		f.k.Fatalf("smart_code_received: %v", f.back)
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {f.back.Get("code")}, "redirect_uri": {kitRedirect}, "code_verifier": {f.verifier}}
	if change != nil {
		change(form)
	}
	return f.k.post("/oauth/token", f.client, form)
}

// token is the whole of smart_token_exchange, smart_token_response_body and
// smart_token_response_headers.
func (k *kit) token(a asking) reply {
	k.Helper()
	r := k.launch(a).exchange(nil)
	k.checkToken(r, a.client)
	return r
}

func (k *kit) checkToken(r reply, client string) {
	k.Helper()
	if r.status != http.StatusOK || !strings.HasPrefix(r.header.Get("Content-Type"), "application/json") {
		k.Fatalf("smart_token_exchange: %d %s", r.status, r.text)
	}
	if _, number := r.json["expires_in"].(float64); !number || r.str("access_token") == "" || !strings.EqualFold(r.str("token_type"), "bearer") || r.str("scope") == "" {
		k.Errorf("smart_token_response_body: %s", r.text)
	}
	if !strings.Contains(r.header.Get("Cache-Control"), "no-store") || !strings.Contains(r.header.Get("Pragma"), "no-cache") {
		k.Errorf("smart_token_response_headers: %v", r.header)
	}
	if origin := r.header.Get("Access-Control-Allow-Origin"); client == "kit-public" && origin != "*" && origin != kitOrigin {
		k.Errorf("smart_cors_token_exchange: %q", origin)
	}
}

// kitTypes are those of the kit's default v2 scopes.
var kitTypes = strings.Fields(`Medication AllergyIntolerance CarePlan CareTeam Condition Coverage Device DiagnosticReport DocumentReference
	Encounter Goal Immunization Location MedicationDispense MedicationRequest Observation Organization Patient Practitioner PractitionerRole
	Procedure Provenance QuestionnaireResponse RelatedPerson ServiceRequest Specimen`)

func kitScopes(first, level, suffix string) string {
	out := first + " openid fhirUser offline_access"
	for _, typ := range kitTypes {
		out += " " + level + "/" + typ + suffix
	}
	return out
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// firstSearches are those of unrestricted and restricted access.
var firstSearches = map[string][]string{
	"AllergyIntolerance": {"patient=%"}, "CarePlan": {"patient=%", "category=assess-plan"}, "CareTeam": {"patient=%", "status=active"},
	"Condition": {"patient=%"}, "Coverage": {"patient=%"}, "Device": {"patient=%"}, "DiagnosticReport": {"patient=%", "category=LAB"},
	"DocumentReference": {"patient=%"}, "Encounter": {"patient=%"}, "Goal": {"patient=%"}, "Immunization": {"patient=%"},
	"MedicationDispense": {"patient=%"}, "MedicationRequest": {"patient=%", "intent=order"}, "Observation": {"patient=%", "category=laboratory"},
	"Patient": {"_id=%"}, "Procedure": {"patient=%"}, "QuestionnaireResponse": {"patient=%"}, "ServiceRequest": {"patient=%"},
}

func firstSearch(typ, patient string) string {
	return typ + "?" + strings.ReplaceAll(strings.Join(firstSearches[typ], "&"), "%", patient)
}

// ids gives what a search finds on all of its pages.
func (k *kit) ids(bearer, query string, post bool) ([]string, int) {
	k.Helper()
	if !strings.Contains(query, "_count=") {
		query += "&_count=200"
	}
	typ, params, _ := strings.Cut(query, "?")
	target := k.base() + "/" + query
	var form url.Values
	method := http.MethodGet
	if post {
		form, _ = url.ParseQuery(params)
		method, target = http.MethodPost, k.base()+"/"+typ+"/_search"
	}
	var out []string
	for range 400 {
		r := k.call(method, target, form, "Authorization", "Bearer "+bearer)
		if r.status != http.StatusOK {
			return nil, r.status
		}
		var bundle struct {
			Link  []struct{ Relation, URL string }
			Entry []struct {
				Resource struct{ ResourceType, ID string }
			}
		}
		if err := json.Unmarshal([]byte(r.text), &bundle); err != nil {
			k.Fatal(err)
		}
		for _, e := range bundle.Entry {
			if e.Resource.ResourceType == typ {
				out = append(out, e.Resource.ID)
			}
		}
		target, form, method = "", nil, http.MethodGet
		for _, l := range bundle.Link {
			if l.Relation == "next" {
				target = l.URL
			}
		}
		if target == "" {
			return out, http.StatusOK
		}
	}
	k.Fatal(errors.New("more than 400 pages"))
	return nil, 0
}

func challengeOf(verifier string) string { return oauth2.S256ChallengeFromVerifier(verifier) }

// offered gives the patients that a page lets choose among.
func offered(page string) []string {
	var out []string
	for _, i := range inputTag.FindAllStringSubmatch(page, -1) {
		if a := attrs(i[1]); a["name"] == "patient" {
			out = append(out, a["value"])
		}
	}
	return out
}
