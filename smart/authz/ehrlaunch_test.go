package authz_test

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/launch"
	"github.com/portico-fhir/portico/smart/launch/launchtest"
)

const (
	ehrToken   = "the EHR's credential, thirty-two and more"
	otherToken = "another EHR's credential, thirty-two and more"
	style      = `{"color_background":"#edeae3"}`
)

func sha(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// startEHR makes a server whose EHRs may launch apps; "doc" is a practitioner.
func startEHR(t *testing.T, change func(h *harness, o *authz.Options)) *harness {
	t.Helper()
	h := start(t, func(h *harness, o *authz.Options) {
		o.Launches = &launchtest.Memory{}
		o.Sources[0].LaunchSHA256, o.Sources[0].Style = sha(ehrToken), []byte(style)
		o.Sources[1].LaunchSHA256 = sha(otherToken)
		h.people.known["doc"] = authz.Person{Issuer: "https://idp.example", Subject: "doc", Name: "Dr. Doe", AuthTime: h.now}
		h.people.practitioners = map[string]string{"doc": "Practitioner/d1"}
		if change != nil {
			change(h, o)
		}
	})
	return h
}

// create asks for a launch as the EHR would.
func (h *harness) create(body string, change func(r *http.Request)) answer {
	h.t.Helper()
	req := h.request(http.MethodPost, "/ehr/launch", nil)
	req = withBody(h, req, body)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+ehrToken)
	if change != nil {
		change(req)
	}
	return h.call(req)
}

func withBody(h *harness, old *http.Request, body string) *http.Request {
	req, err := http.NewRequestWithContext(h.t.Context(), old.Method, old.URL.String(), strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	return req
}

// launched gives a handle for what the EHR says.
func (h *harness) launched(body string) string {
	h.t.Helper()
	got := h.create(body, nil)
	if got.status != http.StatusCreated || got.text("launch") == "" {
		h.t.Fatalf("no launch: %d %s", got.status, got.raw)
	}
	return got.text("launch")
}

func (h *harness) askLaunched(handle string, change func(q url.Values)) url.Values {
	return h.ask(func(q url.Values) {
		q.Set("launch", handle)
		q.Set("scope", "openid fhirUser launch launch/encounter user/Observation.rs user/Practitioner.rs patient/Condition.rs")
		if change != nil {
			change(q)
		}
	})
}

// A practitioner launches an app for a patient and an encounter.
func TestEHRLaunch(t *testing.T) {
	t.Parallel()
	h := startEHR(t, nil)
	h.people.next = "doc"
	got := h.create(`{"patient":"Patient/p9","encounter":"e9","fhirContext":[{"reference":"ImagingStudy/i1"},{"canonical":"http://x/q|1","type":"Questionnaire"}],
		"intent":"review","need_patient_banner":false,"tenant":"north","user":"Practitioner/d1","client_id":"app","source":"demo"}`, nil)
	if got.status != http.StatusCreated || got.text("iss") != h.base+"/fhir/demo" || got.body["expires_in"] != 300.0 || got.body["launch_url"] != nil {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	if len(got.text("launch")) != 43 || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("launch %q, headers %v", got.text("launch"), got.header)
	}
	b := h.browser()
	consent := b.authorize(h.askLaunched(got.text("launch"), nil)).want(t, "consent")
	if p := consent.view.Patient; p.ID != "p9" || p.FHIRUser != "Practitioner/d1" || consent.view.Person != "Dr. Doe" {
		t.Errorf("the page is about %+v for %s", p, consent.view.Person)
	}
	done := b.post(consent.view.Action, consent.yes())
	token := h.token(exchange(done.query.Get("code"), nil))
	want := map[string]any{
		"patient": "p9", "encounter": "e9", "intent": "review", "need_patient_banner": false, "tenant": "north",
		"fhirContext":     []any{map[string]any{"reference": "ImagingStudy/i1"}, map[string]any{"canonical": "http://x/q|1", "type": "Questionnaire"}},
		"smart_style_url": token.body["smart_style_url"], "token_type": "Bearer", "expires_in": 3600.0,
		"scope":        "openid fhirUser launch launch/encounter user/Observation.rs user/Practitioner.rs patient/Condition.rs",
		"access_token": token.body["access_token"], "id_token": token.body["id_token"],
	}
	if d := cmp.Diff(want, token.body); d != "" {
		t.Errorf("token response (-want +got):\n%s", d)
	}
	if got := claimsOf(t, token.text("id_token"))["fhirUser"]; got != h.base+"/fhir/demo/Practitioner/d1" {
		t.Errorf("fhirUser %v", got)
	}
	if g, ok := h.good(token.text("access_token")); !ok || g.Patient != "p9" || g.Source != "demo" {
		t.Errorf("the token is bound to %+v", g)
	}
	if what := h.audit.what(); what != "launch-created granted code-exchanged" {
		t.Errorf("recorded: %s", what)
	}
	// The style is there for anybody, at an address of its content.
	res := h.call(h.request(http.MethodGet, token.text("smart_style_url"), nil))
	if res.raw != style || res.header.Get("Access-Control-Allow-Origin") != "*" || res.header.Get("Content-Type") != "application/json" ||
		!strings.Contains(res.header.Get("Cache-Control"), "immutable") {
		t.Errorf("style: %d %s %v", res.status, res.raw, res.header)
	}
	h.call(h.request(http.MethodGet, "/oauth/style/00.json", nil)).wantError(t, http.StatusNotFound, "invalid_request")
}

func TestStyleAddressChangesWithTheContent(t *testing.T) {
	t.Parallel()
	at := map[string]bool{}
	for _, doc := range []string{style, `{"color_background":"#fff"}`, ""} {
		h := startEHR(t, func(_ *harness, o *authz.Options) { o.Sources[0].Style = []byte(doc) })
		h.people.next = "doc"
		token := h.grantLaunched(h.launched(`{"patient":"p9"}`))
		_, path, _ := strings.Cut(token.text("smart_style_url"), "/oauth/")
		at[path] = true
		if doc == "" && token.body["smart_style_url"] != nil {
			t.Errorf("a style where there is none: %s", token.raw)
		}
	}
	if len(at) != 3 {
		t.Errorf("addresses: %v", at)
	}
}

// grantLaunched goes the whole way of a launch.
func (h *harness) grantLaunched(handle string) answer {
	h.t.Helper()
	b := h.browser()
	consent := b.authorize(h.askLaunched(handle, nil)).want(h.t, "consent")
	return h.token(exchange(b.post(consent.view.Action, consent.yes()).query.Get("code"), nil))
}

// What is not said is not in the answer; the banner is, since a page without the
// patient's name would be dangerous.
func TestALaunchOfAPatientAlone(t *testing.T) {
	t.Parallel()
	h := startEHR(t, nil)
	h.people.next = "doc"
	token := h.grantLaunched(h.launched(`{"patient":"p9","smart_style_url":"https://ehr.example/s.json"}`))
	var names []string
	for name := range token.body {
		names = append(names, name)
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "access_token expires_in id_token need_patient_banner patient scope smart_style_url token_type" {
		t.Errorf("members: %s", got)
	}
	if token.body["need_patient_banner"] != true || token.text("smart_style_url") != "https://ehr.example/s.json" {
		t.Errorf("%s", token.raw)
	}
	if strings.Contains(token.text("scope"), "launch/encounter") {
		t.Errorf("an encounter was promised: %s", token.text("scope"))
	}
}

// One row per way in which the EHR's request is refused.
func TestLaunchRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	h := startEHR(t, nil)
	header := func(name string, values ...string) func(r *http.Request) {
		return func(r *http.Request) { r.Header[name] = values }
	}
	for name, c := range map[string]struct {
		body   string
		change func(r *http.Request)
		status int
		code   string
	}{
		"no credential":            {`{"patient":"p1"}`, header("Authorization"), 401, "invalid_token"},
		"a wrong credential":       {`{"patient":"p1"}`, header("Authorization", "Bearer guess"), 401, "invalid_token"},
		"an empty credential":      {`{"patient":"p1"}`, header("Authorization", "Bearer "), 401, "invalid_token"},
		"another scheme":           {`{"patient":"p1"}`, header("Authorization", "Basic "+ehrToken), 401, "invalid_token"},
		"two credentials":          {`{"patient":"p1"}`, header("Authorization", "Bearer "+ehrToken, "Bearer "+otherToken), 401, "invalid_token"},
		"GET":                      {"", func(r *http.Request) { r.Method = http.MethodGet }, 405, "invalid_request"},
		"a form":                   {`patient=p1`, header("Content-Type", "application/x-www-form-urlencoded"), 400, "invalid_request"},
		"no type":                  {`{"patient":"p1"}`, header("Content-Type"), 400, "invalid_request"},
		"no JSON":                  {`{"patient"`, nil, 400, "invalid_request"},
		"a list":                   {`[]`, nil, 400, "invalid_request"},
		"two objects":              {`{"patient":"p1"}{"patient":"p2"}`, nil, 400, "invalid_request"},
		"a member twice":           {`{"patient":"p1","patient":"p2"}`, nil, 400, "invalid_request"},
		"an unknown member":        {`{"patient":"p1","encountr":"e"}`, nil, 400, "invalid_request"},
		"a member in another case": {`{"Patient":"p1"}`, nil, 400, "invalid_request"},
		"a banner that is a text":  {`{"patient":"p1","need_patient_banner":"true"}`, nil, 400, "invalid_request"},
		"context that is no list":  {`{"patient":"p1","fhirContext":{"reference":"ImagingStudy/1"}}`, nil, 400, "invalid_request"},
		"context of the patient":   {`{"patient":"p1","fhirContext":[{"reference":"Patient/p1"}]}`, nil, 400, "invalid_request"},
		"no patient":               {`{}`, nil, 400, "invalid_request"},
		"a path as patient":        {`{"patient":"../p1"}`, nil, 400, "invalid_request"},
		"another source":           {`{"patient":"p1","source":"other"}`, nil, 400, "invalid_request"},
		"an unknown app":           {`{"patient":"p1","client_id":"nobody"}`, nil, 400, "invalid_request"},
		"an app of another source": {`{"patient":"p1","client_id":"elsewhere"}`, nil, 400, "invalid_request"},
		"a huge body":              {`{"patient":"` + strings.Repeat("p", 70000) + `"}`, nil, 413, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := h.create(c.body, c.change)
			got.wantError(t, c.status, c.code)
			if (got.header.Get("WWW-Authenticate") != "") != (c.status == 401) {
				t.Errorf("WWW-Authenticate %q", got.header.Get("WWW-Authenticate"))
			}
		})
	}
	// No token that this server hands out is a credential of an EHR.
	token := h.token(exchange(h.code(nil), nil)).text("access_token")
	h.create(`{"patient":"p1"}`, header("Authorization", "Bearer "+token)).wantError(t, 401, "invalid_token")
}

// One row per way in which an app's request with a launch is refused.
func TestLaunchesThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body   string // of the EHR
		change func(h *harness, q url.Values)
		code   string // "": it works
	}{
		"unknown":                     {`{"patient":"p9"}`, func(_ *harness, q url.Values) { q.Set("launch", "xyz") }, "invalid_request"},
		"without the scope launch":    {`{"patient":"p9"}`, func(_ *harness, q url.Values) { q.Set("scope", "openid user/*.rs") }, "invalid_request"},
		"launch/patient instead":      {`{"patient":"p9"}`, func(_ *harness, q url.Values) { q.Set("scope", "launch/patient user/*.rs") }, "invalid_request"},
		"an app that may not":         {`{"patient":"p9"}`, func(_ *harness, q url.Values) { q.Set("client_id", "narrow") }, "invalid_request"},
		"at another source":           {`{"patient":"p9"}`, func(h *harness, q url.Values) { q.Set("aud", h.base+"/fhir/other") }, "invalid_request"},
		"too old":                     {`{"patient":"p9"}`, func(h *harness, _ url.Values) { h.advance(launch.TTL) }, "invalid_request"},
		"almost too old":              {`{"patient":"p9"}`, func(h *harness, _ url.Values) { h.advance(launch.TTL - time.Second) }, ""},
		"of another app":              {`{"patient":"p9","client_id":"native"}`, nil, "invalid_request"},
		"of this app":                 {`{"patient":"p9","client_id":"app"}`, nil, ""},
		"twice":                       {`{"patient":"p9"}`, func(_ *harness, q url.Values) { q.Add("launch", "xyz") }, "invalid_request"},
		"of another practitioner":     {`{"patient":"p9","user":"Practitioner/d2"}`, nil, "access_denied"},
		"of the patient":              {`{"patient":"p9","user":"Patient/p9"}`, nil, "access_denied"},
		"of this practitioner":        {`{"patient":"p9","user":"Practitioner/d1"}`, nil, ""},
		"of a patient there is not":   {`{"patient":"p404"}`, nil, "access_denied"},
		"a patient for another":       {`{"patient":"p2"}`, func(h *harness, _ url.Values) { h.people.next = "ana" }, "access_denied"},
		"a patient for herself":       {`{"patient":"p1"}`, func(h *harness, _ url.Values) { h.people.next = "ana" }, ""},
		"a parent for a child":        {`{"patient":"p3","user":"RelatedPerson/r3"}`, func(h *harness, _ url.Values) { h.people.next = "bo" }, ""},
		"a parent as the child":       {`{"patient":"p3","user":"Patient/p3"}`, func(h *harness, _ url.Values) { h.people.next = "bo" }, "access_denied"},
		"somebody without any record": {`{"patient":"p1"}`, func(h *harness, _ url.Values) { h.people.next = "nil" }, "access_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startEHR(t, nil)
			h.people.next = "doc"
			handle := h.launched(c.body)
			got := h.browser().authorize(h.askLaunched(handle, func(q url.Values) {
				if c.change != nil {
					c.change(h, q)
				}
			}))
			if c.code == "" {
				got.want(t, "consent")
				return
			}
			got.wantError(t, c.code)
			if h.pending.Count() != 0 {
				t.Errorf("%d requests are left", h.pending.Count())
			}
		})
	}
}

// A handle is good once; what a request is refused for otherwise does not use it.
func TestALaunchIsGoodOnce(t *testing.T) {
	t.Parallel()
	h := startEHR(t, nil)
	h.people.next = "doc"
	handle := h.launched(`{"patient":"p9"}`)
	h.browser().authorize(h.askLaunched(handle, func(q url.Values) { q.Del("code_challenge") })).wantError(t, "invalid_request")
	h.browser().authorize(h.askLaunched(handle, func(q url.Values) { q.Set("prompt", "none") })).wantError(t, "login_required")
	b := h.browser()
	b.authorize(h.askLaunched(handle, nil)).want(t, "consent")
	h.browser().authorize(h.askLaunched(handle, nil)).wantError(t, "invalid_request")
	b.authorize(h.askLaunched(handle, nil)).wantError(t, "invalid_request")
}

// A practitioner may not come without a launch, nor change the patient of one.
func TestAPractitionerWithoutALaunchReachesNobody(t *testing.T) {
	t.Parallel()
	h := startEHR(t, nil)
	h.people.next = "doc"
	page := h.browser().authorize(h.ask(func(q url.Values) { q.Set("scope", "launch/patient user/*.rs") })).want(t, "problem")
	if page.status != http.StatusForbidden {
		t.Errorf("%d %s", page.status, page.view.Title)
	}
	b := h.browser()
	consent := b.authorize(h.askLaunched(h.launched(`{"patient":"p9"}`), nil)).want(t, "consent")
	_, request, _ := strings.Cut(consent.view.Action, "?")
	if got := b.post("/oauth/patient?"+request, url.Values{"patient": {"p1"}, "csrf": {consent.view.CSRF}}).want(t, "consent"); got.view.Patient.ID != "p9" {
		t.Errorf("the patient is now %s", got.view.Patient.ID)
	}
	// Somebody else signs in meanwhile: the page is theirs no more.
	h.people.set(func(p *people) { p.practitioners = nil })
	b.post(consent.view.Action, consent.yes()).wantError(t, "access_denied")
}

func TestAServerWithoutEHRsTakesNoLaunch(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(h *harness, o *authz.Options){
		"no store":      func(_ *harness, o *authz.Options) { o.Launches = nil },
		"no credential": func(_ *harness, o *authz.Options) { o.Sources[0].LaunchSHA256 = nil },
	} {
		h := startEHR(t, change)
		h.create(`{"patient":"p1"}`, nil).wantError(t, 401, "invalid_token")
		h.browser().authorize(h.askLaunched("xyz", nil)).wantError(t, "invalid_request")
		var doc struct{ Capabilities []string }
		got := h.call(h.request(http.MethodGet, "/fhir/demo/.well-known/smart-configuration", nil))
		if err := json.Unmarshal([]byte(got.raw), &doc); err != nil || slices.Contains(doc.Capabilities, "launch-ehr") {
			t.Errorf("%s: %v, %v", name, doc.Capabilities, err)
		}
	}
}

func TestCapabilitiesOfAnEHRThatLaunches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ style, want string }{
		{style, "launch-ehr context-ehr-patient context-ehr-encounter context-banner context-style"},
		{"", "launch-ehr context-ehr-patient context-ehr-encounter context-banner"},
	} {
		h := startEHR(t, func(_ *harness, o *authz.Options) { o.Sources[0].Style = []byte(c.style) })
		got := h.call(h.request(http.MethodGet, "/fhir/demo/.well-known/smart-configuration", nil)).list("capabilities")
		for _, name := range []string{"launch-ehr", "context-ehr-patient", "context-ehr-encounter", "context-banner", "context-style"} {
			if slices.Contains(got, name) != slices.Contains(strings.Fields(c.want), name) {
				t.Errorf("%s in %v", name, got)
			}
		}
		scopes := h.call(h.request(http.MethodGet, "/fhir/demo/.well-known/smart-configuration", nil)).list("scopes_supported")
		for _, name := range []string{"launch", "launch/encounter", "user/*.rs"} {
			if !slices.Contains(scopes, name) {
				t.Errorf("%s is not in %v", name, scopes)
			}
		}
	}
}

// A refreshed token is in the same context.
func TestTheContextOfALaunchComesAgainWithARefresh(t *testing.T) {
	t.Parallel()
	h := startEHR(t, nil)
	h.people.next = "doc"
	b := h.browser()
	consent := b.authorize(h.askLaunched(h.launched(`{"patient":"p9","encounter":"e9","intent":"review"}`), func(q url.Values) {
		q.Set("scope", "launch launch/encounter offline_access user/Observation.rs")
	})).want(t, "consent")
	first := h.token(exchange(b.post(consent.view.Action, consent.yes()).query.Get("code"), nil))
	second := h.token(refreshWith(first.text("refresh_token"), nil))
	for _, name := range []string{"patient", "encounter", "intent", "need_patient_banner", "smart_style_url", "scope"} {
		if first.body[name] == nil || first.body[name] != second.body[name] {
			t.Errorf("%s was %v and is %v", name, first.body[name], second.body[name])
		}
	}
}

// A style that was changed since is the new one with the next refresh: at the
// old address there is nothing any more.
func TestARefreshGivesTheStyleAsItIsNow(t *testing.T) {
	t.Parallel()
	before := startEHR(t, nil)
	before.people.next = "doc"
	b := before.browser()
	consent := b.authorize(before.askLaunched(before.launched(`{"patient":"p9"}`), func(q url.Values) {
		q.Set("scope", "launch offline_access user/Observation.rs")
	})).want(t, "consent")
	first := before.token(exchange(b.post(consent.view.Action, consent.yes()).query.Get("code"), nil))

	const changed = `{"color_background":"#ffffff"}`
	after := startEHR(t, func(h *harness, o *authz.Options) {
		o.Sources[0].Style = []byte(changed)
		h.tokens, h.store = before.tokens, before.tokens
	})
	second := after.token(refreshWith(first.text("refresh_token"), nil))
	if got := after.call(after.request(http.MethodGet, second.text("smart_style_url"), nil)); got.status != http.StatusOK || got.raw != changed {
		t.Errorf("style: %d %s", got.status, got.raw)
	}
}

// An app with one launch URI is opened there; with several the EHR knows which.
func TestLaunchURL(t *testing.T) {
	t.Parallel()
	for want, uris := range map[string][]string{
		"":                                 {"https://app.example/one", "https://app.example/two"},
		"https://app.example/launch?iss=":  {"https://app.example/launch"},
		"https://app.example/l?a=b+c&iss=": {"https://app.example/l?a=b+c"},
	} {
		h := startEHR(t, func(_ *harness, o *authz.Options) {
			all := clients()
			all[0].LaunchURIs = uris
			registry, err := client.NewStatic(client.Options{Clients: all})
			if err != nil {
				t.Fatal(err)
			}
			o.Clients = registry
		})
		got := h.create(`{"patient":"p1","client_id":"app"}`, nil)
		if want == "" {
			if got.body["launch_url"] != nil {
				t.Errorf("%s", got.raw)
			}
			continue
		}
		rest := url.Values{"iss": {h.base + "/fhir/demo"}, "launch": {got.text("launch")}}.Encode()
		if got.text("launch_url") != strings.TrimSuffix(want, "iss=")+rest {
			t.Errorf("launch_url %s", got.text("launch_url"))
		}
	}
}
