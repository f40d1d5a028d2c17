package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/uscore"
	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/demo/records"
	"github.com/portico-fhir/portico/internal/racing"
	"github.com/portico-fhir/portico/internal/services"
	"github.com/portico-fhir/portico/smart/token"
)

// over is Portico over an EHR with a profile, for one patient.
type over struct {
	*app
	url string
}

func porticoOver(t *testing.T, ehrBase, profile string, more ...string) *over {
	t.Helper()
	var handler http.Handler
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(front.Close)
	dir := t.TempDir()
	t.Setenv("PROFILES_KEY", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32)))
	files := []string{}
	for i, text := range more {
		name := fmt.Sprintf("profile%d.yaml", i)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, name)
	}
	text := fmt.Sprintf(`public_url: %s
listen: 127.0.0.1:18080
store: {sqlite: portico.sqlite}
seal_key: {env: PROFILES_KEY}
profile_files: [%s]
identity_providers:
  - {id: idp, issuer: "http://127.0.0.1:1", client_id: portico}
sources:
  - {id: demo, name: Demo, fhir_base: "%s", profile: %s}
clients:
  - {id: %s, name: Test, type: public, redirect_uris: ["http://127.0.0.1:1/none"]}
`, front.URL, strings.Join(files, ", "), ehrBase, profile, verifyClient)
	path := filepath.Join(dir, "portico.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.LoadWith(path, checks())
	if err != nil {
		t.Fatal(err)
	}
	a, err := build(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.WithoutCancel(t.Context())) })
	handler = a.Handler
	return &over{a, front.URL}
}

func (o *over) as(t *testing.T, patient string) *reader {
	t.Helper()
	bearer, err := mintFor(t, o.app, patient)
	if err != nil {
		t.Fatal(err)
	}
	return &reader{t, o.url + "/fhir/demo", patient, bearer}
}

// made is a hospital's record, and where each of its resources went.
func made(t *testing.T, patients int, each func(r *fhir.Resource)) {
	t.Helper()
	_, err := records.Generate(records.Options{Seed: 1, Patients: patients, Now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}, func(raw []byte) error {
		r, err := fhir.ParseResource(bytes.Clone(raw))
		if err == nil {
			each(r)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func embedded(t *testing.T, patients int) (*ehr.Server, string) {
	t.Helper()
	s := ehr.New(ehr.Options{})
	made(t, patients, func(r *fhir.Resource) {
		if err := s.Load(r.Bytes()); err != nil {
			t.Fatal(err)
		}
	})
	up := httptest.NewServer(s)
	t.Cleanup(up.Close)
	return s, up.URL + "/fhir"
}

// export writes the record as files: {type}/{id}{suffix}, and of each type a list.
func export(t *testing.T, patients int, suffix, list string) string {
	t.Helper()
	root := t.TempDir()
	lists := map[string][]json.RawMessage{}
	write := func(name string, data []byte) {
		path := filepath.Join(root, "fhir", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	made(t, patients, func(r *fhir.Resource) {
		write(r.Type()+"/"+r.ID()+suffix, r.Bytes())
		lists[r.Type()] = append(lists[r.Type()], r.Bytes())
	})
	for typ, all := range lists {
		switch list {
		case ".json":
			type entry struct {
				Resource json.RawMessage `json:"resource"`
			}
			bundle := struct {
				ResourceType string  `json:"resourceType"`
				Type         string  `json:"type"`
				Entry        []entry `json:"entry"`
			}{ResourceType: "Bundle", Type: "collection"}
			for _, raw := range all {
				bundle.Entry = append(bundle.Entry, entry{raw})
			}
			data, err := json.MarshalIndent(bundle, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			write(typ+list, data)
		case ".ndjson":
			var lines bytes.Buffer
			for _, raw := range all {
				if err := json.Compact(&lines, raw); err != nil {
					t.Fatal(err)
				}
				lines.WriteByte('\n')
			}
			write(typ+list, lines.Bytes())
		}
	}
	return root
}

// sameAnswers asks both for every US Core search with values of one of the
// person's own resources, and for the person, who must be the same to the byte.
func sameAnswers(t *testing.T, want, got *reader, leaveOut ...string) (asked int) {
	t.Helper()
	if a, b := want.get(want.base+"/Patient/"+want.patient, ""), got.get(got.base+"/Patient/"+got.patient, ""); a != b {
		t.Error("reading the Patient gives other bytes")
	}
	return sameFound(t, want, got, leaveOut...)
}

// sameFound asks both for every US Core search.
func sameFound(t *testing.T, want, got *reader, leaveOut ...string) (asked int) {
	t.Helper()
	for _, typ := range uscore.Types() {
		if slices.Contains(leaveOut, typ) {
			continue
		}
		for _, s := range uscore.Searches(typ) {
			query := want.values(typ, s.Params)
			if query == nil {
				continue
			}
			if len(uscore.RevIncludes(typ)) > 0 && len(s.Params) == 1 && !slices.Contains(leaveOut, "Provenance") {
				query.Set("_revinclude", "Provenance:target")
			}
			asked++
			a, b := want.search(typ, query, false), got.search(typ, query, false)
			for _, of := range []string{typ, "Provenance"} {
				if x, y := slices.Compact(ids(a[of])), slices.Compact(ids(b[of])); !slices.Equal(x, y) { // an include may come with several pages
					t.Errorf("%s?%s gives %d %s, want %d", typ, strings.Join(s.Params, "&"), len(y), of, len(x))
				}
			}
		}
	}
	return asked
}

func (r *reader) values(typ string, params []string) url.Values {
	r.t.Helper()
	if slices.Contains(params, "death-date") {
		return nil
	}
	for _, c := range r.search(typ, url.Values{"_count": {"100"}}, false)[typ] {
		query := url.Values{}
		for _, name := range params {
			d, _ := search.Lookup(typ, name)
			value := valueOf(d, c)
			if name == "patient" {
				value = r.patient
			}
			if value != "" {
				query.Set(name, value)
			}
		}
		if len(query) == len(params) {
			return query
		}
	}
	return nil
}

var profilePatients = []string{"p-00004", "p-00007"} // a man with long-standing illness, a child

func TestAnAppGetsTheSameOverEveryProfile(t *testing.T) {
	_, plain := embedded(t, 12)
	want := porticoOver(t, plain, "generic")
	needs := map[string][]string{"Observation": {"category", "code"}, "CarePlan": {"category"}}
	for profile, limits := range map[string]ehr.Restriction{
		"epic":          {OneOf: needs, NoModifiers: true, RefusePage: 100, NoPostSearch: true},
		"oracle-health": {IDAlone: true, BareID: true, WholeDays: true, NoModifiers: true, RefusePage: 200, OneOf: map[string][]string{"CarePlan": {"category"}}},
		"athenahealth":  {OneOf: needs, NoModifiers: true, RefusePage: 100},
		"hapi":          {RefusePage: 200},
		"medplum":       {RefusePage: 1000},
		"naive":         {Files: true},
	} {
		if racing.On && profile != "epic" {
			continue
		}
		t.Run(profile, func(t *testing.T) {
			limited, base := embedded(t, 12)
			limited.Restrict(limits)
			got := porticoOver(t, base, profile)
			for _, p := range profilePatients {
				if n := sameAnswers(t, want.as(t, p), got.as(t, p)); n < 40 {
					t.Errorf("only %d searches were tried", n)
				}
			}
		})
	}
}

// Servers that none of us wrote and that know no FHIR at all.
func TestAnAppGetsTheSameOverFilesByPlainHTTP(t *testing.T) {
	services.Need(t)
	const patients = 12
	_, plain := embedded(t, patients)
	want := porticoOver(t, plain, "generic")
	// Each of these is read one by one, for each search.
	many := []string{"Observation", "DiagnosticReport", "Encounter", "ServiceRequest", "Provenance", "Specimen"}
	for name, tt := range map[string]struct {
		suffix, list string
		serve        func(root string) string
		leaveOut     []string
	}{
		"nginx with a Bundle of each type":         {".json", ".json", func(root string) string { return services.StartNginx(t, root, "") }, nil},
		"nginx, no extensions, lines of each type": {"", ".ndjson", func(root string) string { return services.StartNginx(t, root, "") }, nil},
		"nginx with folders as JSON":               {"", "", func(root string) string { return services.StartNginx(t, root, "autoindex on; autoindex_format json;") }, many},
		"nginx with folders as pages":              {".json", "", func(root string) string { return services.StartNginx(t, root, "autoindex on;") }, many},
		"python3 -m http.server with Bundles":      {".json", ".json", func(root string) string { return services.StartPythonFiles(t, root) }, nil},
		"python3 -m http.server with folders":      {".json", "", func(root string) string { return services.StartPythonFiles(t, root) }, many},
	} {
		if racing.On && name != "nginx with a Bundle of each type" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			got := porticoOver(t, tt.serve(export(t, patients, tt.suffix, tt.list))+"/fhir", "naive")
			for _, p := range profilePatients {
				if n := sameAnswers(t, want.as(t, p), got.as(t, p), tt.leaveOut...); n < 20 {
					t.Errorf("only %d searches were tried", n)
				}
			}
		})
	}
}

// mintFor is a token for a patient, as consent would give it.
func mintFor(t *testing.T, a *app, patient string) (string, error) {
	t.Helper()
	return mintScopes(t, a, patient, "patient/*.rs")
}

func mintScopes(t *testing.T, a *app, patient, scopes string) (string, error) {
	t.Helper()
	now := time.Now()
	secret, digest := token.NewSecret(rand.Reader)
	_, code := token.NewSecret(rand.Reader)
	grant := token.Grant{
		ID: rand.Text(), Client: verifyClient, Source: "demo", Patient: patient, PersonIssuer: "test", PersonSubject: "test",
		FHIRUser: "Patient/" + patient, Scopes: scopes, AuthTime: now, Created: now, Expires: now.Add(time.Hour),
	}
	err := a.parts.store.CreateGrant(t.Context(), grant, token.Code{Digest: code, RedirectURI: "urn:none", Challenge: "none", Expires: now.Add(time.Minute)})
	if err != nil {
		return "", err
	}
	return secret, a.parts.store.CreateAccess(t.Context(), grant.ID, token.Access{Digest: digest, Scopes: grant.Scopes, Issued: now, Expires: grant.Expires})
}
