package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/gateway/upstream/profiles"
	"github.com/portico-fhir/portico/internal/demo/ehr"
)

func TestProbeProposesAProfileThatCanBeUsed(t *testing.T) {
	limited, base := embedded(t, 12)
	limited.Restrict(ehr.Restriction{OneOf: map[string][]string{"Observation": {"category", "code"}}, IDAlone: true})
	dir := t.TempDir()
	t.Setenv("PROBE_KEY", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32)))
	path := filepath.Join(dir, "portico.yaml")
	text := fmt.Sprintf(`public_url: http://127.0.0.1:18080
listen: 127.0.0.1:18080
store: {sqlite: portico.sqlite}
seal_key: {env: PROBE_KEY}
identity_providers:
  - {id: idp, issuer: "http://127.0.0.1:1", client_id: portico}
sources:
  - {id: demo, name: Demo, fhir_base: "%s"}
`, base)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	report, profile := filepath.Join(dir, "report.json"), filepath.Join(dir, "found.yaml")
	code, out, errs := runFor(t, "probe", "-config", path, "-patient", "p-00004", "-name", "found", "-json", report, "-profile", profile)
	if code != 0 || !strings.Contains(out, "one_of") || !strings.Contains(out, "plain_id: true") {
		t.Fatalf("code %d\n%s\n%s", code, out, errs)
	}
	raw, err := os.ReadFile(profile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := profiles.Parse(raw); err != nil {
		t.Error(err)
	}
	if said, err := os.ReadFile(report); err != nil || !bytes.Contains(said, []byte(`"synthesised"`)) || bytes.Contains(said, []byte("p-00004")) {
		t.Errorf("the report: %v\n%s", err, said)
	}
	want, got := porticoOver(t, base, "generic"), porticoOver(t, base, "found", string(raw))
	limited.Restrict(ehr.Restriction{}) // whole for the one, restricted for the other
	p := profilePatients[1]
	mine := want.as(t, p).search("Observation", map[string][]string{}, false)["Observation"]
	limited.Restrict(ehr.Restriction{OneOf: map[string][]string{"Observation": {"category", "code"}}, IDAlone: true})
	if found := got.as(t, p).search("Observation", map[string][]string{}, false)["Observation"]; len(found) != len(mine) || len(mine) == 0 {
		t.Errorf("%d Observations, want %d", len(found), len(mine))
	}
	for name, args := range map[string][]string{"no patient": {}, "no id": {"-patient", "a/b"}, "nobody": {"-patient", "nobody"}} {
		if code, _, errs := runFor(t, append([]string{"probe", "-config", path}, args...)...); code != 1 || errs == "" {
			t.Errorf("%s: code %d", name, code)
		}
	}
}

func TestASourceWithAProfileThatIsNotThereDoesNotStart(t *testing.T) {
	for name, files := range map[string]map[string][]byte{"a broken file": {"x.yaml": []byte("name: [")}, "a name that is taken": {"x.yaml": []byte("name: epic")}} {
		if _, err := knownProfiles(files); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	known, err := knownProfiles(nil)
	if err != nil || known("nonsense") || !known("epic") || !known("") {
		t.Errorf("%v", err)
	}
}
