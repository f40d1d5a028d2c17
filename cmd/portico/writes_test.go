package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/config"
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
	for _, w := range demoWrites() {
		if err := writable(w.Type); err != nil {
			t.Errorf("the demo: %s: %v", w.Type, err)
		}
	}
}
