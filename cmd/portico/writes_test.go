package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/fhir/uscore"
	"github.com/portico-fhir/portico/gateway/guard"
)

// A type that apps must never write is refused when the file is read, with the
// reason.
func TestAPolicyCannotOpenWhatIsNobodysToWrite(t *testing.T) {
	for typ, reason := range map[string]string{
		"Patient": "who a patient is", "Practitioner": "belongs to no patient", "Provenance": "whose it is", "Binary": "whose it is", "AuditEvent": "not open to patient apps",
		"Consent": "who may act for", "RelatedPerson": "who may act for", "Encounter": "what staff and systems write", "Nonsense": "no such resource type", "observation": "no such resource type",
	} {
		err := loadText(t, "    write: [{type: "+typ+", interactions: [create]}]\n")
		if err == nil || !strings.Contains(err.Error(), reason) || !strings.Contains(err.Error(), "sources[0].write[0].type") {
			t.Errorf("%s: %v", typ, err)
		}
	}
	if err := loadText(t, "    write: [{type: Observation, interactions: [create, update, patch, delete]}]\n"); err != nil {
		t.Error(err)
	}
}

func loadText(t *testing.T, more string) error {
	t.Helper()
	t.Setenv("WRITES_KEY", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	path := filepath.Join(t.TempDir(), "portico.yaml")
	text := "public_url: http://localhost:8080\nstore: {sqlite: p.sqlite}\nseal_key: {env: WRITES_KEY}\nidentity_providers:\n  - {id: one, issuer: \"http://localhost:8082\", client_id: portico}\nsources:\n  - id: a\n    name: A\n    fhir_base: http://localhost:8081/fhir\n" + more
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.LoadWith(path, checks())
	return err
}

func TestThePolicyIsWhatTheFileSays(t *testing.T) {
	got := policy([]config.Write{{Type: "Observation", Interactions: []string{"create", "patch"}}})
	if len(got) != 1 || len(got["Observation"]) != 2 || got["Observation"][0] != guard.Create || got["Observation"][1] != guard.Patch {
		t.Errorf("%v", got)
	}
	created := map[string]bool{}
	for _, w := range demoWrites() {
		created[w.Type] = slices.Contains(w.Interactions, "create")
		if err := writable(w.Type); err != nil {
			t.Errorf("the demo: %s: %v", w.Type, err)
		}
	}
	for _, typ := range uscore.Types() {
		if slices.Contains(uscore.Interactions(typ), "create") && !created[typ] {
			t.Errorf("US Core wants create of %s, which the demo's policy does not list", typ)
		}
	}
}

// An app that asks for all that there is gets to write what the policy says, sees
// that in its scopes, and can.
func TestAnAppWritesIntoItsPatientsRecordInTheDemo(t *testing.T) {
	d := startDemo(t)
	app := newApp(t, d, "openid", "fhirUser", "launch/patient", "patient/*.cruds")
	token := app.exchange(t, newBrowser(t, app.config.RedirectURL).do(http.MethodGet, app.authorizeURL(), nil).signIn("alice").allow().arrived())
	patient, _ := token.Extra("patient").(string)
	granted, _ := token.Extra("scope").(string)
	for _, scope := range []string{"patient/*.rs", "patient/Observation.cud", "patient/DiagnosticReport.c"} {
		if !slices.Contains(strings.Fields(granted), scope) {
			t.Errorf("%s is not granted: %s", scope, granted)
		}
	}
	if strings.Contains(granted, "Condition.c") || strings.Contains(granted, "*.c") {
		t.Errorf("more is granted than can be written: %s", granted)
	}
	send := func(method, target, body, ifMatch string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token.AccessToken)
		req.Header.Set("Content-Type", "application/fhir+json")
		if ifMatch != "" {
			req.Header.Set("If-Match", ifMatch)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	base := d.url(0) + "/fhir/demo"
	weight := `{"resourceType":"Observation","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"29463-7"}]},"effectiveDateTime":"2026-05-06","valueQuantity":{"value":72.50,"unit":"kg","system":"http://unitsofmeasure.org","code":"kg"},"subject":{"reference":"Patient/` + patient + `"}}`
	made := send(http.MethodPost, base+"/Observation", weight, "")
	at := made.Header.Get("Location")
	if made.StatusCode != http.StatusCreated || !strings.HasPrefix(at, base+"/Observation/") {
		t.Fatalf("%d at %q", made.StatusCode, at)
	}
	at, _, _ = strings.Cut(at, "/_history/")
	if status, body := fetch(t, at, token.AccessToken); status != http.StatusOK || !strings.Contains(body, "72.50") {
		t.Errorf("read: %d %s", status, body)
	}
	_, id, _ := strings.Cut(at, "/Observation/")
	if status, body := fetch(t, base+"/Provenance?target=Observation/"+id, token.AccessToken); status != http.StatusOK || !strings.Contains(body, `"Patient/`+patient+`"`) || !strings.Contains(body, demoOwnApp) {
		t.Errorf("Provenance: %d %s", status, body)
	}
	if gone := send(http.MethodDelete, at, "", made.Header.Get("ETag")); gone.StatusCode != http.StatusNoContent {
		t.Errorf("delete: %d", gone.StatusCode)
	}
	if other := send(http.MethodPost, base+"/Condition", strings.Replace(weight, "Observation", "Condition", 1), ""); other.StatusCode != http.StatusForbidden {
		t.Errorf("a type that is not listed: %d", other.StatusCode)
	}
	if _, body := fetch(t, base+"/metadata", ""); !strings.Contains(body, `"code":"patch"`) {
		t.Errorf("metadata does not say so: %s", body)
	}
}
