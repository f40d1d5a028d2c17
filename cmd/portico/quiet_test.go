package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/demo/records"
)

// What operators' systems are told must hold nothing of anybody. This test lets an
// app and an attacker ask several hundred things of the demo and then looks into
// the log, the metrics, the spans and the traces for every word of every record.

// listening is a collector of spans that keeps what it is sent.
type listening struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *listening) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.text.Write(raw) // protobuf holds strings as they are
}

func (l *listening) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// words are what a record holds that is somebody's: ids and identifiers, names,
// addresses, dates of birth, and whatever text is long enough to mean something.
type words struct {
	all  map[string]bool
	urls []string // what an app could ask of it
}

var publicURL = regexp.MustCompile(`^(https?://|urn:)`)

func wordsOf(t *testing.T, base string) *words {
	t.Helper()
	w := &words{all: map[string]bool{}}
	_, err := records.Generate(records.Options{Seed: demoSeed, Patients: 12, Now: time.Now(), Base: base}, func(raw []byte) error {
		var r map[string]any
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		typ, id := fmt.Sprint(r["resourceType"]), fmt.Sprint(r["id"])
		w.all[id] = true
		w.urls = append(w.urls, "/"+typ+"/"+id, "/"+typ+"?_id="+id)
		w.walk("", r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *words) walk(name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if name == "identifier" {
				w.identifiers(inner)
			}
			w.walk(name, inner)
		}
	case []any:
		for _, inner := range v {
			w.walk(name, inner)
		}
	case string:
		personal := slices.Contains([]string{"family", "given", "birthDate", "line", "city", "postalCode", "reference", "div", "data", "display"}, name)
		if !publicURL.MatchString(v) && (personal && len(v) > 3 || len(v) > 16 && strings.ContainsAny(v, " /")) {
			w.all[v] = true
		}
	}
}

func (w *words) identifiers(v any) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, one := range list {
		if m, ok := one.(map[string]any); ok {
			if value, ok := m["value"].(string); ok {
				w.all[value] = true
			}
		}
	}
}

// vocabulary is what stands in records and in FHIR's own tables as well.
func vocabulary() map[string]bool {
	// The source's name is the operator's own; virtual memory is a metric's.
	out := map[string]bool{strings.ToLower(demoName): true, "virtual": true}
	for _, typ := range search.ResourceTypes() {
		out[strings.ToLower(typ)] = true
		for _, p := range search.Params(typ) {
			out[strings.ToLower(p.Name)] = true
		}
	}
	return out
}

// token is what could stand alone in a log.
var alone = regexp.MustCompile(`[A-Za-z0-9._~+|-]+`)

// in gives the words that a text holds: short ones as a whole, long ones anywhere.
func (w *words) in(text string) []string {
	whole := map[string]bool{}
	for _, token := range alone.FindAllString(text, -1) {
		whole[token] = true
	}
	known := vocabulary()
	var out []string
	for word := range w.all {
		if known[strings.ToLower(word)] {
			continue
		}
		if len(word) < 8 && whole[word] || len(word) >= 8 && strings.Contains(text, word) {
			out = append(out, word)
		}
	}
	slices.Sort(out)
	return out
}

func TestNothingOfAnybodyIsInLogsMetricsSpansOrTraces(t *testing.T) {
	collector := &listening{}
	spans := httptest.NewServer(collector)
	defer spans.Close()
	var log lockedBuffer
	credential := strings.Repeat("operator", 5)
	k := startKitWith(t, slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}), func(c *config.Config) {
		c.Admin = &config.Admin{Listen: "127.0.0.1:1", Credential: config.NewSecret(credential)}
		c.Telemetry = config.Telemetry{TracesEndpoint: spans.URL + "/v1/traces", TracesPercent: 100}
	})
	w := wordsOf(t, k.at.url(1)+"/fhir")
	if len(w.all) < 2000 || len(w.urls) < 1000 {
		t.Fatalf("only %d words and %d URLs: the test would see nothing", len(w.all), len(w.urls))
	}
	told := k.token(asking{client: "kit-public", scope: "launch/patient openid fhirUser offline_access patient/*.rs"})
	token := told.str("access_token")
	for _, secret := range []string{token, told.str("refresh_token"), told.str("id_token"), told.str("patient"), credential} {
		if len(secret) < 3 {
			t.Fatalf("%+v", told.json)
		}
		w.all[secret] = true
	}
	admin := httptest.NewServer(k.portico.Admin)
	defer admin.Close()
	ticketed := func() (header, ticket string) {
		var got ticketAnswer
		if status, body := ask(t, http.MethodPost, admin.URL+"/explain/ticket", credential, `{"source":"demo"}`); status != http.StatusOK || json.Unmarshal([]byte(body), &got) != nil {
			t.Fatalf("ticket: %d %s", status, body)
		}
		return got.Header, got.Ticket
	}
	header, ticket := ticketed()
	w.all[ticket] = true

	var traces strings.Builder
	asked, explained, released := 0, 0, 0
	paths := hostilePaths(w)
	for i := 0; i < len(w.urls); i += max(1, len(w.urls)/220) {
		paths = append(paths, w.urls[i])
	}
	for i, path := range paths {
		bearer := token
		switch {
		case i%29 == 0:
			bearer = "wrong-" + token
		case i%31 == 0:
			bearer = ""
		}
		k.hospital.Misbehave(misbehaviour(i))
		if r := k.call(http.MethodGet, k.base()+path, nil, "Authorization", "Bearer "+bearer, header, ticket); r.status == http.StatusOK {
			released++
			if status, body := ask(t, http.MethodGet, admin.URL+"/explain/"+r.header.Get("X-Request-Id"), credential, ""); status != http.StatusOK {
				t.Errorf("no trace of %s: %d", path, status)
			} else {
				_, _ = traces.WriteString(body)
				explained++
			}
		}
		asked++
		if i%2 == 0 {
			body, err := json.Marshal(explainBody{Source: "demo", Path: path, Token: bearer, By: "test"})
			if err != nil {
				t.Fatal(err)
			}
			if status, said := ask(t, http.MethodPost, admin.URL+"/explain", credential, string(body)); status == http.StatusOK {
				_, _ = traces.WriteString(said)
				explained++
			}
		}
	}
	k.hospital.Misbehave(0)
	if asked < 300 || released < 80 || explained < 200 {
		t.Errorf("%d asked, %d released, %d explained: too few to mean something", asked, released, explained)
	}
	_, metrics := ask(t, http.MethodGet, admin.URL+"/metrics", credential, "")
	_, sources := ask(t, http.MethodGet, admin.URL+"/sources", credential, "")
	_, ready := ask(t, http.MethodGet, admin.URL+"/readyz", credential, "")
	if err := k.portico.parts.telemetry.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"log": log.String(), "metrics": metrics, "spans": collector.String(), "traces": traces.String(), "sources": sources, "readyz": ready,
	} {
		if len(text) < 100 {
			t.Errorf("%s: only %d bytes", name, len(text))
		}
		if found := w.in(text); len(found) > 0 {
			t.Errorf("%s: %d words of records, such as %q", name, len(found), found[:min(len(found), 10)])
		}
	}
	for name, text := range map[string]string{"traces": traces.String(), "metrics": metrics} {
		for _, host := range []string{"localhost", "127.0.0.1"} {
			if strings.Contains(text, host) {
				t.Errorf("%s: a host", name)
			}
		}
	}
	if n := strings.Count(metrics, "\n"); n > 1500 {
		t.Errorf("%d lines of metrics after %d requests", n, asked)
	}
	// The test can fail: what an app is given does hold words of records.
	if r := k.fhir(token, "Patient"); len(w.in(r.text)) == 0 {
		t.Error("the record itself holds none of the words that were looked for")
	}
}

// misbehaviour lets the EHR behave now and then.
func misbehaviour(i int) ehr.Mode {
	modes := []ehr.Mode{0, 0, 0, ehr.IgnorePatient, 0, ehr.ForeignRows, 0, ehr.StackTrace, 0, ehr.ChattyOutcome, ehr.LoginPage, 0, ehr.ExtraIncludes, ehr.AbsoluteURLs, ehr.DuplicateKeys, ehr.Truncate, ehr.NextElsewhere}
	return modes[i%len(modes)]
}

// hostilePaths put words of records wherever an app can put something.
func hostilePaths(w *words) []string {
	some := slices.Sorted(maps.Keys(w.all))
	var out []string
	for i := 0; i < len(some); i += len(some) / 60 {
		v := url.QueryEscape(some[i])
		out = append(out,
			"/Patient?name="+v, "/Patient?identifier="+v, "/Observation?code="+v, "/Observation?"+v+"=1", "/Observation?subject=Patient/"+v,
			"/"+url.PathEscape(some[i]), "/Observation/"+url.PathEscape(some[i]), "/Observation?_include="+v, "/Observation?_page="+v)
	}
	for _, typ := range []string{"Observation", "Condition", "MedicationRequest", "Appointment", "Communication", "DocumentReference", "Encounter", "Immunization", "Patient", "Practitioner", "Provenance"} {
		out = append(out, "/"+typ, "/"+typ+"?_count=3", "/"+typ+"?_summary=count", "/"+typ+"?_total=accurate&_sort=-_lastUpdated")
	}
	return append(out, "/Patient/$everything", "/MedicationRequest?_include=MedicationRequest:medication", "/Observation?_revinclude=Provenance:target")
}
