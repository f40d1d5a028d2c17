package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/racing"
)

// quietly asks whatever can be asked, and looks at no answer but what it needs to
// ask on.
type quietly struct {
	*kit
	token, credential, admin string
	words                    []string
	asked, failed            int
}

func (q *quietly) send(method, target, kind, body, bearer string, header ...string) string {
	req, err := http.NewRequestWithContext(q.Context(), method, target, strings.NewReader(body))
	if err != nil {
		q.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	q.asked++
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		q.failed++
		return ""
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode >= http.StatusInternalServerError {
		q.failed++
	}
	raw, _ := io.ReadAll(res.Body) // it may break off, as the EHR's did
	return string(raw)
}

// one asks in every way of one resource that is the patient's own, and with a
// word of somebody's.
func (q *quietly) one(id, word string) {
	const fhirJSON = "application/fhir+json"
	at := q.base() + "/Observation"
	resource := func(id string) string {
		body, err := json.Marshal(map[string]any{
			"resourceType": "Observation", "id": id, "status": "final", "code": map[string]any{"text": word},
			"subject": map[string]any{"reference": "Patient/" + q.patients[0], "display": word}, "note": []any{map[string]any{"text": word}},
		})
		if err != nil {
			q.Fatal(err)
		}
		return string(body)
	}
	q.send(http.MethodPost, at, fhirJSON, resource(""), q.token)
	q.send(http.MethodPost, at, fhirJSON, resource("x"), q.token, "If-None-Exist", "identifier="+url.QueryEscape(word))
	q.send(http.MethodPut, at+"/"+id, fhirJSON, resource(id), q.token, "If-Match", `W/"1"`)
	q.send(http.MethodPut, at+"/"+url.PathEscape(word), fhirJSON, resource(id), q.token, "If-Match", `W/"`+url.PathEscape(word)+`"`)
	q.send(http.MethodPatch, at+"/"+id, "application/json-patch+json", fmt.Sprintf(`[{"op":"test","path":"/note/0/text","value":%q},{"op":%q}]`, word, word), q.token, "If-Match", `W/"1"`)
	q.send(http.MethodDelete, at+"/"+id, "", "", q.token, "If-Match", `W/"9"`)
	for _, path := range []string{"/_history", "/_history/1", "/_history/" + url.PathEscape(word), "/" + url.PathEscape(word) + "/_history"} {
		q.send(http.MethodGet, at+"/"+id+path, "", "", q.token)
	}
	batch, err := json.Marshal(map[string]any{"resourceType": "Bundle", "type": "batch", "entry": []any{
		map[string]any{"request": map[string]any{"method": "GET", "url": "Observation/" + id}},
		map[string]any{"request": map[string]any{"method": "GET", "url": "Patient?name=" + url.QueryEscape(word)}},
		map[string]any{"request": map[string]any{"method": "POST", "url": "Observation", "ifNoneExist": "identifier=" + url.QueryEscape(word)}, "resource": json.RawMessage(resource(""))},
	}})
	if err != nil {
		q.Fatal(err)
	}
	q.send(http.MethodPost, q.base(), fhirJSON, string(batch), q.token)
	q.send(http.MethodPost, q.base(), fhirJSON, strings.ReplaceAll(string(batch), `"batch"`, fmt.Sprintf("%q", word)), q.token)
	q.send(http.MethodPost, at+"/_search", "application/x-www-form-urlencoded", "code="+url.QueryEscape(word), q.token)
	for _, path := range []string{"/Patient/$everything?_since=" + url.QueryEscape(word), "/Patient/$everything", "/DocumentReference/$docref?patient=" + url.QueryEscape(word),
		"/Observation/$lastn?code=" + url.QueryEscape(word), "/Patient/" + q.patients[0] + "/Observation?code=" + url.QueryEscape(word)} {
		q.send(http.MethodGet, q.base()+path, "", "", q.token)
	}
	notify := q.at.url(0) + "/notify/demo"
	q.send(http.MethodPost, notify, fhirJSON, resource(id), kitToken)
	q.send(http.MethodPost, notify, fhirJSON, backport(q.patients[0], "Patient/"+q.patients[0], resource(id)), kitToken)
	q.send(http.MethodPost, notify, fhirJSON, `{"`+word+`"`, kitToken)
	q.send(http.MethodPost, notify+"/"+url.PathEscape(word), fhirJSON, resource(id), word)
	q.send(http.MethodPost, q.admin+"/cache/purge", "application/json", fmt.Sprintf(`{"source":"demo","patient":%q}`, q.patients[0]), q.credential)
	q.send(http.MethodPost, q.admin+"/cache/purge", "application/json", fmt.Sprintf(`{"source":%q,"patient":%q}`, word, word), q.credential)
	q.send(http.MethodGet, q.admin+"/explain/"+url.PathEscape(word), "", "", q.credential)
}

// found are the resources that are the patient's own.
func (q *quietly) found(typ string) (ids []string, text string) {
	text = q.send(http.MethodGet, q.base()+"/"+typ+"?_count=40", "", "", q.token)
	var b struct {
		Entry []struct {
			Resource struct{ ID string }
		}
	}
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		q.Fatal(err)
	}
	for _, e := range b.Entry {
		ids = append(ids, e.Resource.ID)
	}
	return ids, text
}

// Changes, versions, batches, files and notifications, a Redis that is not there,
// and an EHR that fails in every way that it can: what operators are told of all
// that is about nobody.
func TestNothingOfAnybodyIsToldOfChangesAndFailures(t *testing.T) {
	collector := &listening{}
	spans := httptest.NewServer(collector)
	defer spans.Close()
	var log lockedBuffer
	q := &quietly{credential: strings.Repeat("operator", 5)}
	q.kit = startKitWith(t, slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}), func(c *config.Config) {
		c.Admin = &config.Admin{Listen: "127.0.0.1:1", Credential: config.NewSecret(q.credential)}
		c.Telemetry = config.Telemetry{TracesEndpoint: spans.URL + "/v1/traces", TracesPercent: 100}
		c.Redis, c.Cache = &config.Redis{Addresses: []string{"127.0.0.1:1"}}, &config.Cache{TTL: time.Minute, Memory: 8}
		for i := range c.Sources {
			c.Sources[i].Write = []config.Write{{Type: "Observation", Interactions: config.WriteInteractions()}}
			c.Sources[i].Notify.Token = config.NewSecret(kitToken)
			c.Sources[i].Limits.OpenFor = time.Millisecond // or the breaker keeps most from the EHR
		}
	})
	admin := httptest.NewServer(q.portico.Admin)
	defer admin.Close()
	q.admin = admin.URL
	w := wordsOf(t, q.kit.at.url(1)+"/fhir")
	told := q.kit.token(asking{client: "kit-public", scope: "launch/patient openid fhirUser patient/*.cruds"})
	q.token = told.str("access_token")
	q.patients = []string{told.str("patient")}
	w.all[q.token], w.all[q.patients[0]] = true, true
	q.words = slices.Sorted(maps.Keys(w.all))
	ids, _ := q.found("Observation")
	_, documents := q.found("DocumentReference")
	var files []string
	for _, part := range strings.Split(documents, `"url":"`)[1:] {
		if link, _, _ := strings.Cut(part, `"`); strings.HasPrefix(link, q.base()) && !strings.Contains(link, "?") {
			files = append(files, link)
		}
	}
	if len(ids) < 30 || len(files) == 0 {
		t.Fatalf("%d resources, %d files", len(ids), len(files))
	}
	n, enough := 0, 20
	if racing.On {
		enough = 4 // of the modes; without the detector all are tried
	}
	for mode := ehr.Mode(1); mode <= ehr.AllModes; mode <<= 1 {
		if mode == ehr.Slow || mode == ehr.Drip || mode == ehr.EndlessPages {
			continue // they say nothing new, slowly
		}
		if n++; racing.On && n%7 != 0 {
			continue
		}
		q.hospital.Misbehave(mode)
		q.one(ids[n%len(ids)], q.words[(n*len(q.words)/40)%len(q.words)])
		q.send(http.MethodGet, files[n%len(files)], "", "", q.token, "Range", "bytes=999999999-")
	}
	q.hospital.Misbehave(0)
	if q.asked < 25*enough || q.failed < 5*enough/2 {
		t.Errorf("%d asked, %d failed: too few to mean something", q.asked, q.failed)
	}
	_, metrics := ask(t, http.MethodGet, admin.URL+"/metrics", q.credential, "")
	if err := q.portico.parts.telemetry.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"log": log.String(), "metrics": metrics, "spans": collector.String()} {
		if len(text) < 5_000 {
			t.Errorf("%s: only %d bytes", name, len(text))
		}
		if found := w.in(text); len(found) > 0 {
			t.Errorf("%s: %d words of records, such as %q", name, len(found), found[:min(len(found), 10)])
		}
	}
	for _, want := range []string{"kind=upstream", "kind=unavailable", "could not tell other replicas", "interaction=patch", "interaction=batch", "interaction=history-instance", "route=/notify/{source}"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s", want)
		}
	}
}

// Whatever part logs an error: what it quotes is taken out. A text that was
// chosen for operators stays.
func TestTheLogTakesOutWhatErrorsQuote(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out lockedBuffer
		newLog(config.Log{Format: format}, &out).Error("sweep", "error", fmt.Errorf("delete: %w", errors.New(`Get "https://ehr.example/fhir/Patient/walter": EOF, Key (id)=(walter)`)), "issuer", "https://login.example/walter")
		if text := out.String(); strings.Contains(text, "Patient") || strings.Contains(text, "(walter)") || !strings.Contains(text, "EOF") || !strings.Contains(text, "https://login.example/walter") {
			t.Errorf("%s", text)
		}
	}
}
