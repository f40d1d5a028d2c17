package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/racing"
	"github.com/portico-fhir/portico/internal/services"
)

// This file runs Portico in front of a FHIR server that its makers did not write:
// Medplum's implementation, in memory and over PostgreSQL (internal/foreign).

const (
	// foreignSwitch is the variable that says that there are minutes for this; make
	// foreign sets it.
	foreignSwitch = "PORTICO_TEST_FOREIGN"

	stranger = "p-00005"
	mayWrite = ", write: [{type: Observation, interactions: [create, update, patch, delete]}]"
)

// fewPatients is what a small hospital has: the two who read, and a stranger.
func fewPatients(t *testing.T, each func(*fhir.Resource)) {
	t.Helper()
	others := regexp.MustCompile(`p-0000[^457]`)
	made(t, 7, func(r *fhir.Resource) {
		if !others.Match(r.Bytes()) {
			each(r)
		}
	})
}

// medplum starts the server with the record, and gives its base. args are those of
// internal/foreign/medplum.mjs.
func medplum(t *testing.T, args ...string) string {
	t.Helper()
	base := services.StartNode(t, "../../internal/foreign/medplum.mjs", args...) + "/fhir/R4"
	var loading errgroup.Group
	loading.SetLimit(8)
	fewPatients(t, func(r *fhir.Resource) {
		loading.Go(func() error {
			status, _, _, err := send(t, http.MethodPut, base+"/"+r.Type()+"/"+r.ID(), "", string(r.Bytes()))
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("loading a %s: status %d", r.Type(), status)
			}
			return err
		})
	})
	if err := loading.Wait(); err != nil {
		t.Fatal(err)
	}
	return base
}

func send(t *testing.T, method, target, bearer, body string, header ...string) (int, http.Header, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		return 0, nil, "", err
	}
	req.Header.Set("Content-Type", fhir.JSON)
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(raw), err
}

// foreignConfig is a configuration that the commands read.
func foreignConfig(t *testing.T, base, source, profile string) string {
	t.Helper()
	files := ""
	if profile != "" {
		files = "profile_files: [found.yaml]\n"
	}
	t.Setenv("FOREIGN_KEY", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32)))
	path := filepath.Join(t.TempDir(), "portico.yaml")
	text := fmt.Sprintf(`public_url: http://127.0.0.1:18080
listen: 127.0.0.1:18080
store: {sqlite: portico.sqlite}
seal_key: {env: FOREIGN_KEY}
%sidentity_providers:
  - {id: idp, issuer: "http://127.0.0.1:1", client_id: portico}
sources:
  - {id: demo, name: Demo, fhir_base: "%s"%s}
`, files, base, source)
	for name, content := range map[string]string{"portico.yaml": text, "found.yaml": profile} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestAnAppGetsTheSameOverMedplum(t *testing.T) {
	services.Need(t)
	hospital := ehr.New(ehr.Options{})
	fewPatients(t, func(r *fhir.Resource) {
		if err := hospital.Load(r.Bytes()); err != nil {
			t.Fatal(err)
		}
	})
	up := httptest.NewServer(hospital)
	t.Cleanup(up.Close)
	f := foreign{want: porticoOver(t, up.URL+"/fhir", "generic"), patients: profilePatients}
	database := services.StartPostgres(t, services.PostgresOptions{})
	storages := map[string][]string{"in memory": nil, "over PostgreSQL": {database.URL("postgres"), "localhost"}}
	if racing.On {
		delete(storages, "in memory")
	}
	for name, args := range storages {
		t.Run(name, func(t *testing.T) {
			f := f
			f.base = medplum(t, args...)
			if racing.On {
				f.yaml = "name: found\nextends: medplum\nsearch: {never: [_include, _revinclude]}\nnext: {aliases: [\"" + strings.Replace(f.base, "127.0.0.1", "localhost", 1) + "\"]}\n"
			} else if !t.Run("what the probe proposes is enough", f.proposed) {
				return
			}
			t.Run("changes", f.changes)
			if args != nil {
				t.Run("its database away", func(t *testing.T) { f.away(t, database) })
			}
			if os.Getenv(foreignSwitch) != "" {
				t.Run("everything", f.everything)
				t.Run("verify", f.verify)
			}
		})
	}
}

// foreign is one such server, and Portico over it with what the probe found.
type foreign struct {
	base     string
	want     *over // over a server that does everything
	patients []string
	yaml     string // the proposed profile
}

// proposed: with the profile that the probe writes, an app finds what it finds
// over the server that does everything.
func (f *foreign) proposed(t *testing.T) {
	path := foreignConfig(t, f.base, "", "")
	profile := filepath.Join(filepath.Dir(path), "found.yaml")
	code, out, errs := runFor(t, "probe", "-config", path, "-patient", f.patients[0], "-name", "found", "-profile", profile)
	if code != 0 {
		t.Fatalf("code %d\n%s\n%s", code, out, errs)
	}
	raw, err := os.ReadFile(profile)
	if err != nil {
		t.Fatal(err)
	}
	f.yaml = string(raw)
	got := porticoOver(t, f.base, "found", f.yaml)
	for _, p := range f.patients {
		if n := sameFound(t, f.want.as(t, p), got.as(t, p)); n < 40 {
			t.Errorf("only %d searches were tried", n)
		}
		query := url.Values{"intent": {"order"}, "_include": {"MedicationRequest:medication"}}
		x, y := f.want.as(t, p).search("MedicationRequest", query, false), got.as(t, p).search("MedicationRequest", query, false)
		if a, b := slices.Compact(ids(x["Medication"])), slices.Compact(ids(y["Medication"])); !slices.Equal(a, b) {
			t.Errorf("%d Medications are included, want %d", len(b), len(a))
		}
	}
}

func (f *foreign) everything(t *testing.T) {
	got := porticoOver(t, f.base, "found", f.yaml)
	for _, p := range f.patients {
		query := url.Values{"_count": {"100"}}
		want := f.want.as(t, p).search("Patient/"+p+"/$everything", query, false)
		have := got.as(t, p).search("Patient/"+p+"/$everything", query, false)
		if len(want) < 15 {
			t.Fatalf("only %d types", len(want))
		}
		for _, typ := range slices.Sorted(maps.Keys(want)) {
			if x, y := slices.Compact(ids(want[typ])), slices.Compact(ids(have[typ])); !slices.Equal(x, y) {
				t.Errorf("%d %s, want %d", len(y), typ, len(x))
			}
		}
	}
}

func (f *foreign) changes(t *testing.T) {
	p := profilePatients[1]
	portico := porticoOver(t, f.base, "found"+mayWrite, f.yaml)
	bearer, err := mintScopes(t, portico.app, p, "patient/*.cruds")
	if err != nil {
		t.Fatal(err)
	}
	base := portico.url + "/fhir/demo/"
	ask := func(method, target, body string, header ...string) (int, http.Header, string) {
		t.Helper()
		status, h, text, err := send(t, method, base+target, bearer, body, header...)
		if err != nil {
			t.Fatal(err)
		}
		return status, h, text
	}
	weight := func(kg string) string {
		return `{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"29463-7"}]},"subject":{"reference":"Patient/` + p + `"},"valueQuantity":{"value":` + kg + `,"unit":"kg"}}`
	}
	status, h, text := ask(http.MethodPost, "Observation", weight("61.5"))
	at, _, _ := strings.Cut(strings.TrimPrefix(h.Get("Location"), base), "/_history/")
	if status != http.StatusCreated || !strings.HasPrefix(at, "Observation/") || h.Get("ETag") == "" {
		t.Fatalf("create: %d at %q, ETag %q: %s", status, h.Get("Location"), h.Get("ETag"), text)
	}
	first := h.Get("ETag")
	with := strings.Replace(weight("62.5"), `{`, `{"id":"`+strings.TrimPrefix(at, "Observation/")+`",`, 1)
	if status, _, text := ask(http.MethodPut, at, with, "If-Match", `W/"another"`); status != http.StatusPreconditionFailed {
		t.Errorf("update of another version: %d %s", status, text)
	}
	status, h, text = ask(http.MethodPut, at, with, "If-Match", first)
	if status != http.StatusOK || h.Get("ETag") == first {
		t.Fatalf("update: %d %s", status, text)
	}
	second := h.Get("ETag")
	status, h, text = ask(http.MethodPatch, at, `[{"op":"replace","path":"/valueQuantity/value","value":63.5}]`, "If-Match", second, "Content-Type", "application/json-patch+json")
	if status != http.StatusOK || !strings.Contains(text, "63.5") {
		t.Fatalf("patch: %d %s", status, text)
	}
	third := h.Get("ETag")
	if status, h, text := ask(http.MethodGet, at, ""); status != http.StatusOK || !strings.Contains(text, "63.5") || h.Get("ETag") != third {
		t.Errorf("read: %d, ETag %q, want %q: %s", status, h.Get("ETag"), third, text)
	}
	version := strings.Trim(strings.TrimPrefix(first, "W/"), `"`)
	if status, _, text := ask(http.MethodGet, at+"/_history/"+version, ""); status != http.StatusOK || !strings.Contains(text, "61.5") {
		t.Errorf("the first version: %d %s", status, text)
	}
	status, _, text = ask(http.MethodGet, at+"/_history", "")
	var bundle struct {
		Entry []struct{ Resource json.RawMessage }
	}
	if err := json.Unmarshal([]byte(text), &bundle); err != nil || status != http.StatusOK || len(bundle.Entry) != 3 {
		t.Errorf("history: %d, %d entries: %s", status, len(bundle.Entry), text)
	}
	if status, _, text := ask(http.MethodDelete, at, "", "If-Match", third); status != http.StatusNoContent && status != http.StatusOK {
		t.Errorf("delete: %d %s", status, text)
	}
	if status, _, _ := ask(http.MethodGet, at, ""); status != http.StatusNotFound && status != http.StatusGone {
		t.Errorf("read after the deletion: %d", status)
	}
	if status, _, _ := ask(http.MethodPost, "Observation", strings.ReplaceAll(weight("1"), p, stranger)); status != http.StatusForbidden && status != http.StatusUnprocessableEntity {
		t.Errorf("a stranger's: %d", status)
	}
}

// away: while the server's database is away, nobody gets an answer that looks whole,
// nor a word of what went wrong; afterwards all is as before.
func (f *foreign) away(t *testing.T, database *services.Postgres) {
	p := profilePatients[1]
	asks := []string{"Patient/" + p, "Condition?patient=" + p, "Observation?patient=" + p + "&_revinclude=Provenance:target", "Patient/" + p + "/$everything"}
	all := func(at *over) (statuses []int, texts []string) {
		bearer, err := mintFor(t, at.app, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, ask := range asks {
			status, _, text, err := send(t, http.MethodGet, at.url+"/fhir/demo/"+ask, bearer, "", "Cache-Control", "no-cache")
			if err != nil && status != http.StatusOK {
				t.Fatal(err)
			}
			if err != nil { // broken off
				status = http.StatusBadGateway
			}
			statuses, texts = append(statuses, status), append(texts, text)
		}
		return statuses, texts
	}
	at := porticoOver(t, f.base, "found", f.yaml)
	if statuses, _ := all(at); slices.Max(statuses) != http.StatusOK {
		t.Fatalf("before: %v", statuses)
	}
	database.Kill(t)
	statuses, texts := all(porticoOver(t, f.base, "found", f.yaml))
	for i, status := range statuses {
		if status < http.StatusInternalServerError {
			t.Errorf("%s: %d", strings.ReplaceAll(asks[i], p, "p"), status)
		}
		if strings.Contains(texts[i], "ECONN") || strings.Contains(texts[i], "terminat") {
			t.Errorf("%s says what the server said", strings.ReplaceAll(asks[i], p, "p"))
		}
	}
	database.Start(t)
	if statuses, _ := all(porticoOver(t, f.base, "found", f.yaml)); slices.Max(statuses) != http.StatusOK {
		t.Errorf("afterwards: %v", statuses)
	}
}

func (f *foreign) verify(t *testing.T) {
	path := foreignConfig(t, f.base, ", profile: found"+mayWrite, f.yaml)
	code, out, errs := runFor(t, "verify", "-write", "-pairs", "1", "-config", path, "-as", profilePatients[1], "-not", stranger)
	if code != 0 || !strings.Contains(out, "Nothing of the other patient was seen.") {
		t.Errorf("code %d\n%s\n%s", code, out, errs)
	}
}
