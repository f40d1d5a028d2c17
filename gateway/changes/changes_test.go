package changes_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/changes"
)

// forgotten notes whom a cache would forget.
type forgotten struct {
	whom   []string
	broken bool
}

func (f *forgotten) Invalidate(_ context.Context, source, patient string) error {
	f.whom = append(f.whom, source+"/"+patient)
	if f.broken {
		return errors.New("no")
	}
	return nil
}

const token = "0123456789abcdef0123456789abcdef"

func open(t testing.TB) (http.Handler, *forgotten) {
	t.Helper()
	base, err := fhir.ParseBase("https://ehr.example.org/fhir")
	if err != nil {
		t.Fatal(err)
	}
	f := &forgotten{}
	s, err := changes.New(changes.Options{
		Sources: []changes.Source{{ID: "north", Base: base, Token: token}, {ID: "south", Base: base, Token: strings.Repeat("s", 32)}},
		Forget:  f, Now: func() time.Time { return time.Unix(1e9, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	r := mux.NewRouter().SkipClean(true).UseEncodedPath()
	s.Mount(r)
	return r, f
}

func send(h http.Handler, method, path, auth, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestOnlyTheEHRMayNotify(t *testing.T) {
	for name, row := range map[string]struct{ path, auth string }{
		"nothing":                    {"/notify/north", ""},
		"another token":              {"/notify/north", "Bearer " + strings.Repeat("x", 32)},
		"the token of another EHR":   {"/notify/north", "Bearer " + strings.Repeat("s", 32)},
		"this token at another":      {"/notify/south", "Bearer " + token},
		"an unknown source":          {"/notify/east", "Bearer " + token},
		"an unknown source, nothing": {"/notify/east", "Bearer "},
		"another scheme":             {"/notify/north", "Basic " + token},
		"the beginning":              {"/notify/north", "Bearer " + token[:31]},
		"the token twice":            {"/notify/north", "Bearer " + token + " " + token},
	} {
		h, f := open(t)
		w := send(h, "POST", row.path, row.auth, `{"resourceType":"Patient","id":"a"}`)
		if w.Code != http.StatusUnauthorized || len(f.whom) != 0 || !strings.Contains(w.Body.String(), "OperationOutcome") || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s, forgot %v", name, w.Code, w.Body, f.whom)
		}
	}
}

func TestGuessingIsSlow(t *testing.T) {
	h, _ := open(t)
	for i := range 40 {
		w := send(h, "POST", "/notify/north", "Bearer "+fmt.Sprint(i), "")
		if want := map[bool]int{true: 401, false: 429}[i < 30]; w.Code != want {
			t.Fatalf("attempt %d: %d", i, w.Code)
		}
	}
	if w := send(h, "POST", "/notify/north", "Bearer "+token, ""); w.Code != http.StatusOK {
		t.Errorf("the EHR is shut out by somebody who guesses: %d", w.Code)
	}
}

// bundle is a notification as the backport has it in R4B, or with status in R4.
func bundle(status string, entries ...string) string {
	all := append([]string{`{"fullUrl":"urn:uuid:x","resource":` + status + `}`}, entries...)
	return `{"resourceType":"Bundle","type":"history","entry":[` + strings.Join(all, ",") + `]}`
}

func r4b(kind string, focus ...string) string {
	var events []string
	for _, f := range focus {
		events = append(events, `{"eventNumber":"1","focus":{"reference":"`+f+`"}}`)
	}
	return `{"resourceType":"SubscriptionStatus","type":"` + kind + `","notificationEvent":[` + strings.Join(events, ",") + `]}`
}

func r4status(kind string, focus ...string) string {
	out := `{"resourceType":"Parameters","parameter":[{"name":"subscription","valueReference":{"reference":"Subscription/1"}},{"name":"type","valueCode":"` + kind + `"}`
	for _, f := range focus {
		out += `,{"name":"notification-event","part":[{"name":"event-number","valueString":"1"},{"name":"focus","valueReference":{"reference":"` + f + `"}}]}`
	}
	return out + `]}`
}

func TestWhoIsForgotten(t *testing.T) {
	own := func(id, patient string) string {
		return `{"resourceType":"Observation","id":"` + id + `","subject":{"reference":"` + patient + `"},"performer":[{"reference":"Patient/performer"}]}`
	}
	entry := func(r string) string { return `{"resource":` + r + `}` }
	const all = "north/"
	for name, row := range map[string]struct {
		body   string
		status int
		whom   string
	}{
		"not JSON":                               {`{"resourceType":`, 400, all},
		"a page of HTML":                         {`<html>`, 400, all},
		"names that are there twice":             {`{"resourceType":"Observation","subject":{"reference":"Patient/a"},"subject":{"reference":"Patient/b"}}`, 400, all},
		"no FHIR":                                {`{"a":1}`, 400, all},
		"too much":                               {`"` + strings.Repeat("x", 5<<20) + `"`, 413, all},
		"no payload":                             {"", 200, all},
		"white space":                            {" \n", 200, all},
		"an owner elsewhere":                     {own("o", "https://other.example/fhir/Patient/a"), 200, all},
		"an owner by identifier":                 {`{"resourceType":"Observation","subject":{"identifier":{"value":"1"}}}`, 200, all},
		"a group":                                {own("o", "Group/g"), 200, all},
		"no owner":                               {`{"resourceType":"Observation","id":"o"}`, 200, all},
		"a directory type":                       {`{"resourceType":"Practitioner","id":"p"}`, 200, all},
		"a type that points on":                  {`{"resourceType":"Provenance","id":"p","target":[{"reference":"Patient/a"}]}`, 200, all},
		"an unknown type":                        {`{"resourceType":"Whatever","id":"p"}`, 200, all},
		"a patient without id":                   {`{"resourceType":"Patient"}`, 200, all},
		"one owner":                              {own("o", "Patient/a"), 200, "north/a"},
		"an absolute owner":                      {own("o", "https://ehr.example.org/fhir/Patient/a"), 200, "north/a"},
		"the patient":                            {`{"resourceType":"Patient","id":"a","link":[{"other":{"reference":"Patient/b"}}]}`, 200, "north/a north/b"},
		"a group visit":                          {`{"resourceType":"Appointment","id":"v","participant":[{"actor":{"reference":"Patient/a"}},{"actor":{"reference":"Practitioner/d"}},{"actor":{"reference":"Patient/b"}}]}`, 200, "north/a north/b"},
		"handshake":                              {bundle(r4b("handshake")), 200, ""},
		"heartbeat in R4":                        {bundle(r4status("heartbeat")), 200, ""},
		"an event, nothing said":                 {bundle(r4b("event-notification")), 200, all},
		"an event of a kind nobody knows":        {bundle(r4b("something", "Patient/a")), 200, all},
		"an event about the patient":             {bundle(r4b("event-notification", "Patient/a")), 200, "north/a"},
		"an id only that is nobody's":            {bundle(r4b("event-notification", "Observation/o")), 200, all},
		"one of two is nobody's":                 {bundle(r4status("event-notification", "Patient/a", "Observation/o")), 200, all},
		"a full resource":                        {bundle(r4b("event-notification", "Observation/o"), entry(own("o", "Patient/a"))), 200, "north/a"},
		"a full resource in R4":                  {bundle(r4status("event-notification", "Observation/o"), entry(own("o", "Patient/a"))), 200, "north/a"},
		"a full resource that is another":        {bundle(r4b("event-notification", "Observation/o"), entry(own("other", "Patient/a"))), 200, all},
		"a full resource that cannot be read":    {bundle(r4b("event-notification", "Patient/a"), entry(`{"a":1}`)), 200, all},
		"a focus elsewhere":                      {bundle(r4b("event-notification", "https://other.example/fhir/Patient/a")), 200, all},
		"a Bundle that is no notification":       {`{"resourceType":"Bundle","type":"collection","entry":[` + entry(own("o", "Patient/a")) + `]}`, 200, "north/a"},
		"an empty Bundle":                        {`{"resourceType":"Bundle","type":"history"}`, 200, all},
		"a Bundle with an entry without content": {`{"resourceType":"Bundle","entry":[{"fullUrl":"x"},` + entry(own("o", "Patient/a")) + `]}`, 200, all},
	} {
		t.Run(name, func(t *testing.T) {
			h, f := open(t)
			w := send(h, "POST", "/notify/north", "Bearer "+token, row.body)
			if w.Code != row.status || strings.Join(f.whom, " ") != row.whom {
				t.Errorf("%d %s, forgot %q, want %d and %q", w.Code, w.Body, f.whom, row.status, row.whom)
			}
			if !strings.Contains(w.Body.String(), `"resourceType":"OperationOutcome"`) || strings.Contains(w.Body.String(), "Patient/") {
				t.Errorf("answered %s", w.Body)
			}
		})
	}
}

func TestARestHookMayNameTheResourceInItsURL(t *testing.T) {
	h, f := open(t)
	for _, method := range []string{"PUT", "POST", "DELETE"} {
		if w := send(h, method, "/notify/north/Observation/o", "Bearer "+token, ""); w.Code != http.StatusOK {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	if len(f.whom) != 3 {
		t.Errorf("forgot %v", f.whom)
	}
	if w := send(h, "GET", "/notify/north", "Bearer "+token, ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

func TestWhenItCannotBeMadeKnownTheEHRIsToldToTryAgain(t *testing.T) {
	h, f := open(t)
	f.broken = true
	if w := send(h, "POST", "/notify/north", "Bearer "+token, ""); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestTooManyNotificationsForgetEverybody(t *testing.T) {
	h, f := open(t)
	body := `{"resourceType":"Patient","id":"a"}`
	var last *httptest.ResponseRecorder
	for range 6001 {
		last = send(h, "POST", "/notify/north", "Bearer "+token, body)
	}
	if last.Code != http.StatusTooManyRequests || f.whom[len(f.whom)-1] != "north/" || f.whom[0] != "north/a" {
		t.Errorf("%d, forgot %s at last", last.Code, f.whom[len(f.whom)-1])
	}
}

func FuzzNotification(f *testing.F) {
	f.Add(bundle(r4b("event-notification", "Patient/a")))
	f.Add(bundle(r4status("event-notification", "Observation/o")))
	f.Add(`{"resourceType":"Observation","subject":{"reference":"Patient/a"}}`)
	f.Add(``)
	f.Fuzz(func(t *testing.T, body string) {
		h, forgot := open(t)
		w := send(h, "POST", "/notify/north", "Bearer "+token, body)
		kind := strings.Contains(body, "handshake") || strings.Contains(body, "heartbeat") || strings.Contains(body, "query") || strings.Contains(body, `\`)
		if len(forgot.whom) == 0 && !kind {
			t.Errorf("nobody was forgotten: %d", w.Code)
		}
	})
}

// The EHR may not send it again: whom it named beside the first must not go on
// being served what was there before.
func TestWhatCannotBeMadeKnownForOneIsForgottenForAll(t *testing.T) {
	h, f := open(t)
	f.broken = true
	visit := `{"resourceType":"Appointment","id":"v","participant":[{"actor":{"reference":"Patient/a"}},{"actor":{"reference":"Patient/b"}}]}`
	if w := send(h, "POST", "/notify/north", "Bearer "+token, visit); w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d", w.Code)
	}
	if got := strings.Join(f.whom, " "); got != "north/a north/" {
		t.Errorf("forgot %q", got)
	}
}
