package app_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/internal/demo/app"
)

func options() app.Options {
	return app.Options{
		FHIRBase:     "http://localhost:8080/fhir/demo",
		ClientID:     "pocket-record",
		RedirectURI:  "http://localhost:8083/app.html",
		HealthSystem: "Lakeside <b>Health</b>",
	}
}

func get(t *testing.T, target string) *httptest.ResponseRecorder {
	t.Helper()
	h, err := app.Handler(options())
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, target, nil))
	return rec
}

const home = "http://localhost:8083"

func TestEveryAnswerHasTheStrictPolicy(t *testing.T) {
	const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' http://localhost:8080; img-src 'self' data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
	for path, want := range map[string]struct {
		status int
		media  string
	}{
		"/":                               {200, "text/html; charset=utf-8"},
		"/launch.html":                    {200, "text/html; charset=utf-8"},
		"/app.html?code=x&state=y":        {200, "text/html; charset=utf-8"},
		"/js/app.js":                      {200, "text/javascript; charset=utf-8"},
		"/vendor/fhir-client.pure.min.js": {200, "text/javascript; charset=utf-8"},
		"/vendor/uPlot.min.css":           {200, "text/css; charset=utf-8"},
		"/config.json":                    {200, "application/json"},
		"/static/js/app.js":               {404, "text/plain; charset=utf-8"},
		"/js/":                            {404, "text/plain; charset=utf-8"},
	} {
		rec := get(t, home+path)
		if rec.Code != want.status || rec.Header().Get("Content-Type") != want.media {
			t.Errorf("%s: %d %s, want %d %s", path, rec.Code, rec.Header().Get("Content-Type"), want.status, want.media)
		}
		for name, value := range map[string]string{"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
			if rec.Header().Get(name) != value {
				t.Errorf("%s: %s is %q", path, name, rec.Header().Get(name))
			}
		}
	}
}

func TestPagesHaveNoInlineCodeAndLoadNothingFromElsewhere(t *testing.T) {
	inline := regexp.MustCompile(`(?i)<script>|<script[^>]*>[^<]|<style|\sstyle=|\son[a-z]+=|javascript:|(src|href)="(https?:)?//`)
	for _, path := range []string{"/index.html", "/launch.html", "/app.html"} {
		body := get(t, home+path).Body.String()
		if hit := inline.FindString(body); hit != "" {
			t.Errorf("%s has %q", path, hit)
		}
		for _, m := range regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(body, -1) {
			if rec := get(t, home+"/"+m[1]); rec.Code != http.StatusOK {
				t.Errorf("%s points to %s, which answers %d", path, m[1], rec.Code)
			}
		}
	}
}

func TestConfigSaysWhatTheAppConnectsTo(t *testing.T) {
	var got map[string]string
	if err := json.Unmarshal(get(t, home+"/config.json").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	o := options()
	for name, want := range map[string]string{"fhirBase": o.FHIRBase, "clientId": o.ClientID, "redirectUri": o.RedirectURI, "healthSystem": o.HealthSystem, "scope": app.Scope} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

func TestAnotherNameOfTheSameHostLeadsHome(t *testing.T) {
	rec := get(t, "http://127.0.0.1:8083/")
	if rec.Code != http.StatusTemporaryRedirect || rec.Header().Get("Location") != home+"/" {
		t.Errorf("%d to %q", rec.Code, rec.Header().Get("Location"))
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*app.Options){
		"no base":               func(o *app.Options) { o.FHIRBase = "" },
		"base of another kind":  func(o *app.Options) { o.FHIRBase = "ftp://x/y" },
		"no client":             func(o *app.Options) { o.ClientID = "" },
		"no name":               func(o *app.Options) { o.HealthSystem = "" },
		"relative redirect":     func(o *app.Options) { o.RedirectURI = "/app.html" },
		"redirect to elsewhere": func(o *app.Options) { o.RedirectURI = "http://localhost:8083/callback" },
	} {
		o := options()
		spoil(&o)
		if _, err := app.Handler(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if !strings.Contains(app.Scope, "launch/patient") {
		t.Error("a standalone launch needs launch/patient to be told the patient")
	}
}
