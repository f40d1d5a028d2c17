package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/demo/records"
	"github.com/portico-fhir/portico/internal/racing"
)

func TestVerifyAttacksTheConfiguredEHRAndSaysSo(t *testing.T) {
	hospital := ehr.New(ehr.Options{Bearer: "ehr-token"})
	if _, err := records.Generate(records.Options{Seed: 1, Patients: 10, Now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}, hospital.Load); err != nil {
		t.Fatal(err)
	}
	up := httptest.NewServer(hospital)
	defer up.Close()
	dir := t.TempDir()
	t.Setenv("VERIFY_KEY", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32)))
	t.Setenv("VERIFY_EHR", "ehr-token")
	path := filepath.Join(dir, "portico.yaml")
	text := fmt.Sprintf(`public_url: http://127.0.0.1:18080
listen: 127.0.0.1:18080
store: {sqlite: portico.sqlite}
seal_key: {env: VERIFY_KEY}
identity_providers:
  - {id: idp, issuer: "http://127.0.0.1:1", client_id: portico}
sources:
  - {id: demo, name: Demo, fhir_base: "%s/fhir", auth: {type: bearer, token: {env: VERIFY_EHR}}, write: [{type: Observation, interactions: [create, update, patch, delete]}, {type: Goal, interactions: [create, update, delete]}]}
`, up.URL)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	page, data := filepath.Join(dir, "report.html"), filepath.Join(dir, "report.json")
	pairs := "20"
	if racing.On {
		pairs = "2"
	}
	code, out, errs := runFor(t, "verify", "-write", "-pairs", pairs, "-config", path, "-as", "p-00001", "-not", "p-00005", "-html", page, "-json", data)
	if code != 0 || !strings.Contains(out, "Nothing of the other patient was seen.") {
		t.Fatalf("code %d\n%s\n%s", code, out, errs)
	}
	if !strings.Contains(out, "writing into another record") {
		t.Errorf("no changes were tried:\n%s", out)
	}
	if strings.Contains(out, "p-00005") {
		t.Errorf("the terminal names the patient:\n%s", out)
	}
	for _, file := range []string{page, data} {
		raw, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(raw, []byte("p-00005")) {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "portico.sqlite")); err == nil {
		t.Error("it touched the state of the configured Portico")
	}
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"nobody to attack as": {[]string{"-not", "p-00005"}, "-as and -not"},
		"twice the same":      {[]string{"-as", "p-00005", "-not", "p-00005"}, "two different"},
		"an unknown source":   {[]string{"-as", "p-00001", "-not", "p-00005", "-source", "x"}, "no source"},
		"an unknown patient":  {[]string{"-as", "p-00001", "-not", "nobody"}, "learning about"},
	} {
		code, _, errs := runFor(t, append([]string{"verify", "-config", path}, tt.args...)...)
		if code != 1 || !strings.Contains(errs, tt.says) {
			t.Errorf("%s: code %d: %s", name, code, errs)
		}
	}
}
