package pages_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/gateway/pages"
	"github.com/portico-fhir/portico/smart/authz"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newPages(t *testing.T) *pages.Pages {
	t.Helper()
	p, err := pages.New(pages.Options{
		Sources: []authz.Source{{ID: "demo", Name: "Lakeside Health", Base: "http://localhost:8080/fhir/demo"}},
		Now:     func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func consentView() authz.ConsentView {
	return authz.ConsentView{
		Action: "/oauth/consent?id=abc", CSRF: "csrf-value",
		App: "Pocket Record", AppOwner: "Example Apps Ltd", AppURL: "https://apps.example.org/pocket",
		Source: "Lakeside Health", Person: "Ana Rivera",
		Patient: authz.Patient{ID: "p1", Label: "Ana Rivera", Self: true},
		Scopes: []authz.ScopeView{
			{Value: "openid", Required: true},
			{Value: "fhirUser", Required: true},
			{Value: "launch/patient", Required: true},
			{Value: "offline_access"},
			{Value: "patient/Observation.rs", Type: "Observation", Read: true},
			{Value: "patient/Patient.rs", Type: "Patient", Read: true},
		},
		Until:    now.Add(time.Hour),
		ReturnTo: "http://localhost:8083",
	}
}

func consent(t *testing.T, v authz.ConsentView) *http.Response {
	t.Helper()
	rec := httptest.NewRecorder()
	if err := newPages(t).Consent(rec, httptest.NewRequest(http.MethodGet, "/oauth/consent", nil), v); err != nil {
		t.Fatal(err)
	}
	return rec.Result()
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	var b strings.Builder
	if _, err := copyBody(&b, res); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestEveryPageHasTheExactPolicyAndNoInlineCode(t *testing.T) {
	const self = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
	withApp := strings.Replace(self, "form-action 'self'", "form-action 'self' http://localhost:8083", 1)
	p := newPages(t)
	router := mux.NewRouter()
	p.Mount(router)
	draws := []struct {
		name, policy string
		status       int
		draw         func(w http.ResponseWriter, r *http.Request) error
	}{
		{"consent", withApp, 200, func(w http.ResponseWriter, r *http.Request) error { return p.Consent(w, r, consentView()) }},
		{"choose", self, 200, func(w http.ResponseWriter, r *http.Request) error {
			return p.ChoosePatient(w, r, authz.ChooseView{Action: "/oauth/patient", Patients: []authz.Patient{{ID: "p1", Label: "Ana"}}})
		}},
		{"choose provider", self, 200, func(w http.ResponseWriter, r *http.Request) error {
			return p.ChooseProvider(w, r, pages.ProviderView{Source: "Lake", Choices: []pages.ProviderChoice{{Name: "A", URL: "/login/start?provider=a"}}})
		}},
		{"choose, with a way back to a native app", strings.Replace(self, "form-action 'self'", "form-action 'self' com.example.app:", 1), 200, func(w http.ResponseWriter, r *http.Request) error {
			return p.ChoosePatient(w, r, authz.ChooseView{Action: "/oauth/patient", ReturnTo: "com.example.app:", Person: "Ana", SignOut: "/oauth/continue?request=1&as=somebody-else", Patients: []authz.Patient{{ID: "p1", Label: "Ana"}}})
		}},
		{"problem with a way back", withApp, 403, func(w http.ResponseWriter, r *http.Request) error {
			return p.Problem(w, r, authz.ProblemView{Status: 403, Title: "We found no record for you", Person: "Ana", SignOut: "/oauth/continue?request=1", Leave: &authz.LeaveView{Action: "/oauth/patient?request=1", CSRF: "c", App: "Pocket", ReturnTo: "http://localhost:8083"}})
		}},
		{"sign out", self, 200, func(w http.ResponseWriter, r *http.Request) error {
			return p.SignOut(w, r, pages.SignOutView{SignedIn: true, Person: "Ana"})
		}},
		{"signed out", self, 200, func(w http.ResponseWriter, r *http.Request) error { return p.SignOut(w, r, pages.SignOutView{}) }},
		{"signed out, going on", self, 200, func(w http.ResponseWriter, r *http.Request) error {
			return p.SignOut(w, r, pages.SignOutView{Next: "https://idp.example/end?client_id=portico"})
		}},
		{"problem", self, 400, func(w http.ResponseWriter, r *http.Request) error {
			return p.Problem(w, r, authz.ProblemView{Status: 400, Title: "Unknown app"})
		}},
		{"problem without a status", self, 500, func(w http.ResponseWriter, r *http.Request) error {
			return p.Problem(w, r, authz.ProblemView{})
		}},
		{"not found", self, 404, func(w http.ResponseWriter, r *http.Request) error { p.NotFound(w, r); return nil }},
		{"home", self, 200, func(w http.ResponseWriter, r *http.Request) error { router.ServeHTTP(w, r); return nil }},
	}
	inline := regexp.MustCompile(`(?i)<script|<style|\sstyle=|\son[a-z]+=|javascript:`)
	for _, d := range draws {
		t.Run(d.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			if err := d.draw(rec, httptest.NewRequest(http.MethodGet, "/", nil)); err != nil {
				t.Fatal(err)
			}
			res := rec.Result()
			if res.StatusCode != d.status {
				t.Errorf("status %d, want %d", res.StatusCode, d.status)
			}
			for name, want := range map[string]string{
				"Content-Security-Policy":    d.policy,
				"X-Content-Type-Options":     "nosniff",
				"Referrer-Policy":            "no-referrer",
				"Cache-Control":              "no-store",
				"Cross-Origin-Opener-Policy": "same-origin",
				"Content-Type":               "text/html; charset=utf-8",
			} {
				if got := res.Header.Values(name); len(got) != 1 || got[0] != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			body := text(t, res)
			if hit := inline.FindString(body); hit != "" {
				t.Errorf("page has inline code or style: %q", hit)
			}
			for _, want := range []string{`<html lang="en">`, `<title>`, `<main id="main"`, `name="viewport"`} {
				if !strings.Contains(body, want) {
					t.Errorf("page lacks %s", want)
				}
			}
			if strings.Count(body, "<h1") != 1 {
				t.Errorf("page has %d h1, want 1", strings.Count(body, "<h1"))
			}
			save(t, d.name, body)
		})
	}
}

// save keeps the page for a person to look at, when asked to.
func save(t *testing.T, name, body string) {
	dir := os.Getenv("PORTICO_KEEP_PAGES")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".html"), []byte(body), 0o600); err != nil {
		t.Error(err)
	}
}

func TestHostileNamesStayText(t *testing.T) {
	hostile := []struct{ name, in, gone string }{
		{"markup", `<script>alert(1)</script>`, "<script"},
		{"attribute break", `"><img src=x onerror=alert(1)>`, "<img src=x"},
		{"right-to-left override", "Bank\u202eppa", "\u202e"},
		{"isolate without end", "App\u2066x", "\u2066"},
		{"line break", "Good\nSigned by hospital", "\n" + "Signed by hospital"},
		{"NUL", "a\x00b", "\x00"},
		{"bad UTF-8", "a\xffb", "\xff"},
		{"hidden by zero width space", "Hos\u200bpital", "\u200b"},
		{"template", `{{.CSRF}}{{template "main"}}`, "csrf-valuecsrf"},
		{"soft hyphen", "Hos\u00adpital", "\u00ad"},
	}
	for _, h := range hostile {
		t.Run(h.name, func(t *testing.T) {
			v := consentView()
			v.App, v.AppOwner, v.Source, v.Person, v.Patient.Label = h.in, h.in, h.in, h.in, h.in
			v.AppURL = "https://x.example/" + h.in
			body := text(t, consent(t, v))
			if strings.Contains(body, h.gone) {
				t.Errorf("page holds %q", h.gone)
			}
			rec := httptest.NewRecorder()
			if err := newPages(t).Problem(rec, nil, authz.ProblemView{Status: 400, Title: h.in, Detail: h.in, RequestID: h.in}); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(rec.Body.String(), h.gone) {
				t.Errorf("problem page holds %q", h.gone)
			}
		})
	}
}

func TestANameCannotPushThePageAway(t *testing.T) {
	v := consentView()
	v.App = strings.Repeat("very long ", 400)
	body := text(t, consent(t, v))
	if strings.Contains(body, strings.Repeat("very long ", 9)) || !strings.Contains(body, "…") {
		t.Error("a long name is not cut")
	}
}

func TestScopeValuesAreSentBackExactly(t *testing.T) {
	v := consentView()
	const granular = `patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory`
	v.Scopes = append(v.Scopes, authz.ScopeView{Value: granular, Type: "Observation", Read: true})
	body := text(t, consent(t, v))
	for _, want := range []string{
		`<input type="hidden" name="scope" value="openid">`,
		`<input type="hidden" name="scope" value="launch/patient">`,
		`name="scope" value="patient/Observation.rs" checked`,
		`name="scope" value="` + granular + `" checked`,
		`name="scope" value="offline_access" checked`,
		`<input type="hidden" name="csrf" value="csrf-value">`,
		`<form method="post" action="/oauth/consent?id=abc"`,
		`name="decision" value="allow"`,
		`name="decision" value="deny"`,
		`<time datetime="2026-11-22T13:00:00Z">In about 1 hour</time>`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("page lacks %s", want)
		}
	}
	if strings.Contains(body, `type="checkbox" id="scope-0"`) {
		t.Error("a required scope can be unticked")
	}
	if n := strings.Count(body, "<label for="); n != 4 {
		t.Errorf("%d labels, want one for each of the 4 boxes", n)
	}
}

func TestOwnAndOthersRecordsAreToldApart(t *testing.T) {
	v := consentView()
	own := text(t, consent(t, v))
	if !strings.Contains(own, "Your record") || strings.Contains(own, "for whom you act") {
		t.Error("own record is not called so")
	}
	v.Patient = authz.Patient{ID: "p2", Label: "Leo Rivera"}
	child := text(t, consent(t, v))
	if strings.Contains(child, "Your record") || !strings.Contains(child, "for whom you act") || !strings.Contains(child, "<bdi>Leo Rivera</bdi>") {
		t.Error("a child's record is not called so")
	}
	v.Patient = authz.Patient{ID: "p2", Label: "Leo Rivera", FHIRUser: "Practitioner/d1"}
	if patient := text(t, consent(t, v)); strings.Contains(patient, "for whom you act") || !strings.Contains(patient, "opened from the health record system") {
		t.Error("a patient's record is not called so for a clinician")
	}
}

func TestWritingIsSaidLoudly(t *testing.T) {
	v := consentView()
	if body := text(t, consent(t, v)); !strings.Contains(body, "It cannot change anything") || strings.Contains(body, `class="may`) {
		t.Error("a page about reading alone should say so once")
	}
	v.Scopes = append(v.Scopes,
		authz.ScopeView{Value: "patient/Appointment.cruds", Type: "Appointment", Read: true, Write: true},
		authz.ScopeView{Value: "patient/Communication.c", Type: "Communication", Write: true})
	body := text(t, consent(t, v))
	for _, want := range []string{`<span class="may write">see, add or change</span>`, `<span class="may write">add or change</span>`, `<span class="may">see</span>`} {
		if !strings.Contains(body, want) {
			t.Errorf("page lacks %s", want)
		}
	}
	if strings.Contains(body, "It cannot change anything") {
		t.Error("page claims that nothing can be changed")
	}
}

func TestNothingTickedComesBackWithAnError(t *testing.T) {
	v := consentView()
	v.NothingChosen = true
	body := text(t, consent(t, v))
	for _, want := range []string{`<title>Error: `, `role="alert"`, `<a href="#scope-5">`, `id="scope-5"`} {
		if !strings.Contains(body, want) {
			t.Errorf("page lacks %s", want)
		}
	}
	if strings.Contains(body, " checked") {
		t.Error("boxes are ticked again although the person unticked them")
	}
}

func TestTheDayIsSaidOnlyOfLongAccess(t *testing.T) {
	for days, want := range map[int]string{
		1:  `<time datetime="2026-11-23T12:00:00Z">In about 24 hours</time>`,
		90: `<time datetime="2027-02-20T12:00:00Z">In about 3 months<span class="sub">20 February 2027</span></time>`,
	} {
		v := consentView()
		v.Until = now.AddDate(0, 0, days)
		if body := text(t, consent(t, v)); !strings.Contains(body, want) {
			t.Errorf("%d days: the page lacks %s", days, want)
		}
	}
}

func TestNobodyIsToldToUntickWhatIsNotThere(t *testing.T) {
	v := consentView()
	v.Scopes = []authz.ScopeView{{Value: "launch/patient", Required: true}}
	if body := text(t, consent(t, v)); strings.Contains(body, "Untick") {
		t.Error("the page speaks of boxes and has none")
	}
}

func TestFormTargetIsOneSourceOrNothing(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"hostile: a second directive", "https://a.example;script-src *", ""},
		{"hostile: a space", "https://a.example *", ""},
		{"hostile: a comma", "https://a.example,b", ""},
		{"hostile: wildcard", "https://*.example", ""},
		{"hostile: user part", "https://a.example@evil.example", ""},
		{"hostile: javascript", "javascript:alert(1)", ""},
		{"hostile: data", "data:text/html,x", ""},
		{"hostile: no scheme", "//a.example", ""},
		{"hostile: keyword", "'unsafe-inline'", ""},
		{"web app", "https://a.example", "https://a.example"},
		{"port", "http://localhost:8083", "http://localhost:8083"},
		{"capitals", "HTTPS://A.Example", "https://a.example"},
		{"a whole redirect_uri", "https://a.example/cb?x=1", "https://a.example"},
		{"native app", "com.example.app:/cb", "com.example.app:"},
		{"IPv6 loopback", "http://[::1]:8083", "http:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := consentView()
			v.ReturnTo = tt.in
			rec := httptest.NewRecorder()
			err := newPages(t).Consent(rec, nil, v)
			policy := rec.Header().Get("Content-Security-Policy")
			if tt.want == "" {
				if err == nil {
					t.Fatalf("drawn with policy %q, want an error", policy)
				}
				if rec.Body.Len() > 0 {
					t.Error("something was sent")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := "form-action 'self' " + tt.want + "; frame-ancestors"; !strings.Contains(policy, want) {
				t.Errorf("policy %q lacks %q", policy, want)
			}
		})
	}
}

func TestChoosingAPatientNeedsOneButtonEach(t *testing.T) {
	rec := httptest.NewRecorder()
	err := newPages(t).ChoosePatient(rec, nil, authz.ChooseView{
		Action: "/oauth/patient?id=abc", CSRF: "csrf-value", App: "Pocket Record", Source: "Lakeside Health", Person: "Ana Rivera",
		Patients: []authz.Patient{{ID: "p1", Label: "Ana Rivera", Self: true}, {ID: "p2", Label: "<b>Leo</b>"}, {ID: "p3"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	body := rec.Body.String()
	for _, want := range []string{
		`<form method="post" action="/oauth/patient?id=abc">`, `name="csrf" value="csrf-value"`,
		`name="patient" value="p1"`, `name="patient" value="p2"`, `&lt;b&gt;Leo&lt;/b&gt;`, "Your own record", "A person you act for", "Record without a name",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("page lacks %s", want)
		}
	}
	save(t, "choose", body)
}

func TestTryAgainStaysOnThisServer(t *testing.T) {
	for in, want := range map[string]bool{
		"//evil.example/":          false,
		`/\evil.example/`:          false,
		"https://evil.example/":    false,
		"javascript:alert(1)":      false,
		"oauth/continue":           false,
		"":                         false,
		"/oauth/continue?id=a&b=c": true,
	} {
		rec := httptest.NewRecorder()
		if err := newPages(t).Problem(rec, nil, authz.ProblemView{Status: 502, Title: "x", Retry: in}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(rec.Body.String(), "Try again"); got != want {
			t.Errorf("%q: link drawn %v, want %v", in, got, want)
		}
	}
}

func TestHomeNamesEachSourceWithItsBase(t *testing.T) {
	router := mux.NewRouter()
	newPages(t).Mount(router)
	rec := httptest.NewRecorder()
	router.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	for _, want := range []string{"Lakeside Health", "http://localhost:8080/fhir/demo", "/fhir/demo/.well-known/smart-configuration", "/fhir/demo/metadata", "/.well-known/openid-configuration"} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("page lacks %s", want)
		}
	}
	css := regexp.MustCompile(`href="(/static/[^"]+\.css)"`).FindStringSubmatch(rec.Body.String())
	if css == nil {
		t.Fatal("page has no style sheet")
	}
	style := httptest.NewRecorder()
	router.ServeHTTP(style, httptest.NewRequest(http.MethodGet, css[1], nil))
	if style.Code != http.StatusOK || style.Header().Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("style sheet: %d %s", style.Code, style.Header().Get("Content-Type"))
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	good := []authz.Source{{ID: "demo", Name: "x", Base: "https://portico.example/fhir/demo"}}
	for name, o := range map[string]pages.Options{
		"no clock":    {Sources: good},
		"no source":   {Now: time.Now},
		"script base": {Now: time.Now, Sources: []authz.Source{{ID: "demo", Base: "javascript:alert(1)"}}},
	} {
		if _, err := pages.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func copyBody(b *strings.Builder, res *http.Response) (int64, error) {
	defer res.Body.Close()
	return io.Copy(b, res.Body)
}

// Who is signed in can say that they are not that person, wherever it is said.
func TestPagesThatSayWhoIsSignedInOfferToSignOut(t *testing.T) {
	p := newPages(t)
	const back = "/oauth/continue?request=r1&as=somebody-else"
	view := consentView()
	view.SignOut = back
	for name, draw := range map[string]func(w http.ResponseWriter, r *http.Request) error{
		"consent": func(w http.ResponseWriter, r *http.Request) error { return p.Consent(w, r, view) },
		"choose": func(w http.ResponseWriter, r *http.Request) error {
			return p.ChoosePatient(w, r, authz.ChooseView{Person: "Ana Rivera", SignOut: back})
		},
		"problem": func(w http.ResponseWriter, r *http.Request) error {
			return p.Problem(w, r, authz.ProblemView{Status: 403, Person: "Ana Rivera", SignOut: back})
		},
		"somebody without a name": func(w http.ResponseWriter, r *http.Request) error {
			return p.Problem(w, r, authz.ProblemView{Status: 403, SignOut: back})
		},
	} {
		rec := httptest.NewRecorder()
		if err := draw(rec, httptest.NewRequest(http.MethodGet, "/", nil)); err != nil {
			t.Fatal(err)
		}
		body := rec.Body.String()
		for _, want := range []string{"Signed in", `<form method="post" action="/logout">`, `name="return_to" value="/oauth/continue?request=r1&amp;as=somebody-else"`, `Not you? <span class="whole">Sign out</span>`} {
			if !strings.Contains(body, want) {
				t.Errorf("%s lacks %s", name, want)
			}
		}
	}
	rec := httptest.NewRecorder()
	if err := p.Problem(rec, httptest.NewRequest(http.MethodGet, "/", nil), authz.ProblemView{Status: 400, SignOut: "https://evil.example/"}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(rec.Body.String(), "evil.example") || strings.Contains(rec.Body.String(), "/logout") {
		t.Error("a way back that leads elsewhere was drawn")
	}
}
