package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/gateway/cache/cachetest"
	"github.com/portico-fhir/portico/gateway/login"
	"github.com/portico-fhir/portico/internal/demo/ehr"
)

const notifyToken = "notify-notify-notify-notify-notify-notify"

// keeping is Portico with a cache over an EHR that is counted, as a process's
// parts: what an app, an EHR and an operator call.
type keeping struct {
	*testing.T
	hospital *ehr.Server
	app      *app
	asked    func() int
	public   string
	admin    string
	path     string // of the configuration
	bearer   map[string]string
}

const keepingConfig = `
public_url: %[1]s
listen: 127.0.0.1:8080
store: {sqlite: p.sqlite}
seal_key: {env: KEEPING_SEAL}
identity_providers:
  - {id: one, issuer: "http://localhost:1", client_id: portico}
sources:
  - id: north
    name: North
    fhir_base: %[2]s/fhir
    auth: {type: bearer, token: {env: KEEPING_EHR}}
    notify: {token: {env: KEEPING_NOTIFY}}
  - id: south
    name: South
    fhir_base: %[2]s/fhir
    auth: {type: bearer, token: {env: KEEPING_EHR}}
clients:
  - {id: app, name: App, type: public, redirect_uris: ["http://127.0.0.1:1/cb"]}
cache: {ttl: 1h%[4]s}
admin: {listen: '%[3]s', credential: {env: KEEPING_ADMIN}}
`

func startKeeping(t *testing.T, more string) *keeping {
	t.Helper()
	k := &keeping{T: t, hospital: ehr.New(ehr.Options{Bearer: "ehr"}), bearer: map[string]string{}}
	h := &hospital{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.seen = append(h.seen, r)
		h.mu.Unlock()
		k.hospital.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	k.asked = func() int { return len(h.requests()) }
	t.Setenv("KEEPING_SEAL", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	t.Setenv("KEEPING_EHR", "ehr")
	t.Setenv("KEEPING_NOTIFY", notifyToken)
	t.Setenv("KEEPING_ADMIN", strings.Repeat("operator", 5))
	front, back := &later{}, &later{}
	public, admin := httptest.NewServer(front), httptest.NewServer(back)
	t.Cleanup(public.Close)
	t.Cleanup(admin.Close)
	k.public, k.admin = public.URL, admin.URL
	k.path = filepath.Join(t.TempDir(), "portico.yaml")
	if err := os.WriteFile(k.path, fmt.Appendf(nil, keepingConfig, k.public, h.URL, strings.TrimPrefix(admin.URL, "http://"), more), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.LoadWith(k.path, checks())
	if err != nil {
		t.Fatal(err)
	}
	a, err := build(t.Context(), cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) })
	k.app = a
	front.Handler, back.Handler = a.Handler, a.Admin
	for _, source := range []string{"north", "south"} {
		for _, patient := range []string{"p", "q"} {
			k.bearer[source+"/"+patient] = grantAt(t, a, source, patient)
		}
	}
	for _, patient := range []string{"p", "q"} {
		k.load(fmt.Sprintf(`{"resourceType":"Patient","id":%q}`, patient))
		k.change(patient, "first")
	}
	return k
}

// later is a handler that is there before what it serves.
type later struct{ http.Handler }

func (k *keeping) load(raw string) {
	k.Helper()
	if err := k.hospital.Load([]byte(raw)); err != nil {
		k.Fatal(err)
	}
}

func observationOf(patient, text string) string {
	return fmt.Sprintf(`{"resourceType":"Observation","id":"o-%[1]s","status":"final","code":{"text":%[2]q},"subject":{"reference":"Patient/%[1]s"}}`, patient, text)
}

// change is what somebody does at the EHR, not through Portico.
func (k *keeping) change(patient, text string) {
	k.Helper()
	k.load(observationOf(patient, text))
}

// sees asks as the patient's app and wants the text, from the EHR or not.
func (k *keeping) sees(who, text string, fromEHR bool) {
	k.Helper()
	k.asked()
	source, patient, _ := strings.Cut(who, "/")
	for _, path := range []string{"/Observation?status=final", "/Observation/o-" + patient} {
		status, body := ask(k.T, http.MethodGet, k.public+"/fhir/"+source+path, k.bearer[who], "")
		if status != http.StatusOK || !strings.Contains(body, `"`+text+`"`) {
			k.Errorf("%s %s: %d %s, want %q", who, path, status, body, text)
		}
		if asked := k.asked() > 0; asked != fromEHR {
			k.Errorf("%s %s: the EHR was asked: %v", who, path, asked)
		}
	}
}

// settled makes sure that the cache holds what all of them saw last.
func (k *keeping) settled(texts map[string]string) {
	k.Helper()
	for who, text := range texts {
		k.sees(who, text, false)
	}
}

func (k *keeping) notify(source, token, body string) (int, string) {
	k.Helper()
	return ask(k.T, http.MethodPost, k.public+"/notify/"+source, token, body, "Content-Type", "application/fhir+json")
}

func backport(patient, focus, resource string) string {
	status := map[string]any{"resourceType": "Parameters", "parameter": []any{
		map[string]any{"name": "subscription", "valueReference": map[string]any{"reference": "Subscription/1"}},
		map[string]any{"name": "type", "valueCode": "event-notification"},
		map[string]any{"name": "notification-event", "part": []any{
			map[string]any{"name": "event-number", "valueString": "1"}, map[string]any{"name": "focus", "valueReference": map[string]any{"reference": focus}},
		}},
	}}
	entries := []any{map[string]any{"resource": status}}
	if resource != "" {
		entries = append(entries, map[string]any{"resource": json.RawMessage(resource), "request": map[string]any{"method": "PUT", "url": "Observation/o-" + patient}})
	}
	out, _ := json.Marshal(map[string]any{"resourceType": "Bundle", "type": "history", "entry": entries})
	return string(out)
}

// An answer is kept; the EHR changes the record and says so; the next answer is
// the new one, and only what the notification concerns is asked for again.
func TestWhatTheEHRTellsIsSeenInTheNextAnswer(t *testing.T) {
	k := startKeeping(t, "")
	everybody := []string{"north/p", "north/q", "south/p", "south/q"}
	for _, who := range everybody {
		k.sees(who, "first", true)
		k.sees(who, "first", false)
	}
	// Without a word of the EHR it is not seen: that is what ttl is for.
	k.change("p", "untold")
	k.sees("north/p", "first", false)
	for i, row := range []struct {
		name   string
		token  string
		source string
		body   func(text string) string
		status int
		forget []string // who is asked for again
	}{
		{"a wrong token", notifyToken + "x", "north", func(text string) string { return observationOf("p", text) }, 401, nil},
		{"a source that takes none", notifyToken, "south", func(text string) string { return observationOf("p", text) }, 401, nil},
		{"a rest-hook with its resource", notifyToken, "north", func(text string) string { return observationOf("p", text) }, 200, []string{"north/p"}},
		{"the backport, full-resource", notifyToken, "north", func(text string) string { return backport("p", "Observation/o-p", observationOf("p", text)) }, 200, []string{"north/p"}},
		{"the backport, id-only, of the Patient", notifyToken, "north", func(string) string { return backport("p", "Patient/p", "") }, 200, []string{"north/p"}},
		{"the backport, id-only, of something else", notifyToken, "north", func(string) string { return backport("p", "Observation/o-p", "") }, 200, []string{"north/p", "north/q"}},
		{"a rest-hook without payload", notifyToken, "north", func(string) string { return "" }, 200, []string{"north/p", "north/q"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			k := *k
			k.T = t
			was := map[string]string{}
			for _, who := range everybody {
				was[who] = fmt.Sprint("before ", i)
			}
			k.change("p", fmt.Sprint("before ", i))
			k.change("q", fmt.Sprint("before ", i))
			k.purge("-source", "north")
			k.purge("-source", "south")
			for _, who := range everybody {
				k.sees(who, was[who], true)
			}
			k.settled(was)
			text := fmt.Sprint("after ", i)
			k.change("p", text)
			k.change("q", text)
			if status, body := k.notify(row.source, row.token, row.body(text)); status != row.status {
				t.Fatalf("%d %s", status, body)
			}
			for _, who := range row.forget {
				was[who] = text
				k.sees(who, text, true)
			}
			k.settled(was)
		})
	}
}

// Of two EHRs the operator has to say whose is forgotten.
func TestOfSeveralSourcesOneMustBeNamed(t *testing.T) {
	k := startKeeping(t, "")
	for _, args := range [][]string{{"cache", "purge"}, {"explain", "ticket"}, {"explain", "request", "/Patient"}} {
		if code, out, errs := runFor(t, append(args, "-config", k.path)...); code != 1 || out != "" || !strings.Contains(errs, "name one with -source") {
			t.Errorf("%v: %d %q %q", args, code, out, errs)
		}
	}
}

func (k *keeping) purge(args ...string) {
	k.Helper()
	if code, out, errs := runFor(k.T, append([]string{"cache", "purge", "-config", k.path}, args...)...); code != 0 || !strings.Contains(out, "forgotten") {
		k.Fatalf("%d %q %q", code, out, errs)
	}
}

func TestAPurgeIsSeenInTheNextAnswer(t *testing.T) {
	k := startKeeping(t, "")
	seen := map[string]string{}
	for _, who := range []string{"north/p", "north/q", "south/p", "south/q"} {
		k.sees(who, "first", true)
		seen[who] = "first"
	}
	k.change("p", "second")
	k.change("q", "second")
	k.settled(seen)
	k.purge("-source", "north", "-patient", "p")
	k.sees("north/p", "second", true)
	seen["north/p"] = "second"
	k.settled(seen)
	k.purge("-source", "south")
	for _, who := range []string{"south/p", "south/q"} {
		k.sees(who, "second", true)
		seen[who] = "second"
	}
	k.settled(seen)
	_, metrics := ask(t, http.MethodGet, k.admin+"/metrics", strings.Repeat("operator", 5), "")
	for _, want := range []string{`portico_cache_lookups_total{result="miss",source="north",tier="memory"}`, `{result="stored",source="south",tier="memory"}`, `{result="hit",source="north",tier="memory"}`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
}

// With cache.refresh the EHR is asked before the app asks again, as long as the
// app's session lasts: whatever ends that, ends this.
func TestASearchIsMadeAgainBeforeTheAppAsksWhileItsSessionLasts(t *testing.T) {
	for name, row := range map[string]struct {
		end  func(k *keeping)
		goes bool
	}{
		"nothing has ended": {func(*keeping) {}, true},
		"the app has given its token back": {func(k *keeping) {
			if status, body := ask(k.T, http.MethodPost, k.public+"/oauth/revoke", "", "client_id=app&token="+k.bearer["north/p"], "Content-Type", "application/x-www-form-urlencoded"); status != http.StatusOK {
				k.Fatalf("%d %s", status, body)
			}
		}, false},
		"the person has stopped the app": {func(k *keeping) {
			if err := k.app.parts.store.RevokeGrant(k.Context(), "grant-north", time.Now()); err != nil {
				k.Fatal(err)
			}
		}, false},
		"the person has signed out": {func(k *keeping) {
			if err := k.app.parts.store.DeleteSession(k.Context(), [32]byte{1}); err != nil {
				k.Fatal(err)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			k := startKeeping(t, ", refresh: {active: 15m}")
			now := time.Now()
			if err := k.app.parts.store.CreateSession(t.Context(), login.Session{Digest: [32]byte{1}, Provider: "one", Issuer: "iss", Subject: "sub", AuthTime: now, Created: now, Seen: now, Expires: now.Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
			if status, body := ask(t, http.MethodGet, k.public+"/fhir/north/Observation", k.bearer["north/p"], ""); status != http.StatusOK || !strings.Contains(body, `"first"`) {
				t.Fatalf("%d %s", status, body)
			}
			row.end(k)
			k.asked()
			k.change("p", "second")
			if status, body := k.notify("north", notifyToken, observationOf("p", "second")); status != http.StatusOK {
				t.Fatalf("%d %s", status, body)
			}
			if !row.goes {
				cachetest.Until(t, func() bool { return k.app.parts.cache.Remembered() == 0 })
				if n := k.asked(); n > 0 {
					t.Errorf("the EHR was asked %d times", n)
				}
				return
			}
			cachetest.Until(t, func() bool {
				status, body := ask(t, http.MethodGet, k.public+"/fhir/north/Observation", k.bearer["north/p"], "", "Cache-Control", "only-if-cached")
				return status == http.StatusOK && strings.Contains(body, `"second"`)
			})
		})
	}
}
