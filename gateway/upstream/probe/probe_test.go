package probe_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/fhirserver"
	"github.com/portico-fhir/portico/gateway/upstream/probe"
	"github.com/portico-fhir/portico/gateway/upstream/profiles"
	"github.com/portico-fhir/portico/gateway/upstream/quirks"
	"github.com/portico-fhir/portico/gateway/upstream/upstreamtest"
	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/demo/records"
	"github.com/portico-fhir/portico/internal/racing"
)

var day = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)

func hospital(t *testing.T) (*ehr.Server, fhir.Base, *[]string) {
	t.Helper()
	s := ehr.New(ehr.Options{PageSize: 40})
	marks := &[]string{}
	_, err := records.Generate(records.Options{Seed: 1, Patients: 12, Now: day}, func(raw []byte) error {
		r, err := fhir.ParseResource(raw)
		if err == nil && r.Type() == "Patient" {
			for n := range r.Root().At("name", "family") {
				*marks = append(*marks, n.Text())
			}
		}
		if err == nil {
			*marks = append(*marks, r.ID())
		}
		return s.Load(raw)
	})
	if err != nil {
		t.Fatal(err)
	}
	up := httptest.NewServer(s)
	t.Cleanup(up.Close)
	base, err := fhir.ParseBase(up.URL + "/fhir")
	if err != nil {
		t.Fatal(err)
	}
	return s, base, marks
}

func connect(base fhir.Base) func(profiles.HTTP) (upstream.Reader, error) {
	return func(h profiles.HTTP) (upstream.Reader, error) {
		return fhirserver.New(fhirserver.Options{Base: base, Accept: h.Accept, MediaTypes: h.MediaTypes})
	}
}

// The proof of a proposal is that with it everything is found.
func TestTheProposedProfileMakesTheServerWhole(t *testing.T) {
	set, err := profiles.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	_, plainBase, marks := hospital(t)
	plain, err := connect(plainBase)(profiles.HTTP{})
	if err != nil {
		t.Fatal(err)
	}
	want := upstreamtest.NewReference(plain)
	limited, base, _ := hospital(t)
	for name, limits := range map[string]ehr.Restriction{
		"nothing":                  {},
		"no metadata":              {NoMetadata: true},
		"category or code needed":  {OneOf: map[string][]string{"Observation": {"category", "code"}, "CarePlan": {"category"}}},
		"small pages":              {RefusePage: 100},
		"includes ignored":         {NoIncludes: true},
		"includes refused":         {Never: []string{"_include", "_revinclude"}},
		"what is not stated":       {Unstated: []string{"status", "date", "intent"}, Never: []string{"status", "date", "intent"}},
		"parameters refused":       {Never: []string{"clinical-status", "authored", "_lastUpdated"}},
		"_id alone, one value":     {IDAlone: true, OneValue: true},
		"bare ids":                 {BareID: true},
		"references":               {WithReference: true},
		"whole days":               {WholeDays: true},
		"no modifiers, no order":   {NoModifiers: true, Never: []string{"_sort"}},
		"relative links":           {RelativeNext: true, BareEntries: true},
		"links under another name": {Alias: "https://ehr.example.org:8443/r4"},
		"files only":               {Files: true, FileType: "text/plain"},
		"lists only":               {NoSearch: true},
	} {
		if racing.On && name != "category or code needed" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			limited.Restrict(limits)
			report, err := probe.Run(t.Context(), probe.Options{Connect: connect(base), Base: base, Set: set, Patient: "p-00004", Name: "found", Now: func() time.Time { return day }})
			if err != nil {
				t.Fatal(err)
			}
			if report.Missing() {
				t.Errorf("something is missing: %+v", report)
			}
			saysNothing(t, report, *marks)
			up, err := connect(base)(report.Profile.HTTP)
			if err != nil {
				t.Fatal(err)
			}
			got, err := quirks.New(quirks.Options{Upstream: up, Base: base, Profile: report.Profile})
			if err != nil {
				t.Fatal(err)
			}
			if upstreamtest.Run(t, upstreamtest.Suite{Want: want, Got: got, Patients: []string{"p-00004", "p-00007"}}); t.Failed() {
				t.Logf("%s", report.YAML)
			}
		})
	}
}

// saysNothing looks for anything of a patient in what is printed.
func saysNothing(t *testing.T, r *probe.Report, marks []string) {
	t.Helper()
	var out bytes.Buffer
	if err := r.Text(&out); err != nil {
		t.Fatal(err)
	}
	if err := r.JSON(&out); err != nil {
		t.Fatal(err)
	}
	for _, m := range marks {
		if len(m) > 4 && strings.Contains(out.String(), m) {
			t.Fatal("the report holds something of a patient")
		}
	}
}

// An EHR that serves many wants to be told whose record is asked for.
func TestWhatEverySearchNeedsIsInTheProposal(t *testing.T) {
	set, err := profiles.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	s, base, _ := hospital(t)
	s.Restrict(ehr.Restriction{Wants: map[string]string{"ah-practice": "Organization/a-1"}})
	o := probe.Options{Connect: connect(base), Base: base, Set: set, Patient: "p-00004", Name: "found", Add: map[string]string{"ah-practice": "Organization/a-1"}}
	report, err := probe.Run(t.Context(), o)
	if err != nil || report.Missing() || report.Profile.Search.Add["ah-practice"] != "Organization/a-1" {
		t.Fatalf("%v %+v", err, report)
	}
	var out bytes.Buffer
	if err := report.Text(&out); err != nil {
		t.Fatal(err)
	}
	_, yaml, found := strings.Cut(out.String(), "\n\nname: ")
	if _, err := set.With(map[string][]byte{"pasted": []byte("name: " + yaml)}); err != nil || !found {
		t.Errorf("what it ends with is no profile: %v", err)
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > 130 || strings.HasSuffix(line, " \n") {
			t.Errorf("%q", line)
		}
	}
	o.Add = nil
	if _, err := probe.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "search.add") {
		t.Errorf("%v", err)
	}
}

func TestAPatientWithNothingTellsNothing(t *testing.T) {
	set, err := profiles.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	s, base, _ := hospital(t)
	if err := s.Load([]byte(`{"resourceType":"Patient","id":"empty"}`)); err != nil {
		t.Fatal(err)
	}
	report, err := probe.Run(t.Context(), probe.Options{Connect: connect(base), Base: base, Set: set, Patient: "empty", Name: "found"})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := report.Text(&out); err != nil || !strings.Contains(out.String(), "take a patient with much in the record") || strings.Count(out.String(), "none in the record") < 10 {
		t.Errorf("%v %s", err, out.String())
	}
}

func TestAServerOfFilesIsProbedAsOne(t *testing.T) {
	set, err := profiles.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Patient/p1.json":     `{"resourceType":"Patient","id":"p1"}`,
		"Observation/o1.json": `{"resourceType":"Observation","id":"o1","status":"final","code":{"coding":[{"system":"s","code":"c"}]},"subject":{"reference":"Patient/p1"}}`,
		"Observation/o2.json": `{"resourceType":"Observation","id":"o2","subject":{"reference":"Patient/p2"}}`,
	} {
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "fhir", filepath.Dir(name)), 0o700), os.WriteFile(filepath.Join(dir, "fhir", name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	up := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(up.Close)
	base, err := fhir.ParseBase(up.URL + "/fhir")
	if err != nil {
		t.Fatal(err)
	}
	report, err := probe.Run(t.Context(), probe.Options{Connect: connect(base), Base: base, Set: set, Patient: "p1", Name: "found"})
	if err != nil || report.Missing() || report.Nearest != "naive" {
		t.Fatalf("%v %+v", err, report)
	}
	for _, f := range report.Searches {
		if f.What == "Observation?patient&code" && f.Verdict != probe.Synthesised {
			t.Errorf("%+v", f)
		}
	}
}

func TestAProbeThatCannotBeginSaysWhy(t *testing.T) {
	set, err := profiles.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	s, base, _ := hospital(t)
	for name, patient := range map[string]string{"nobody": "nobody", "no id": "a/b"} {
		_, err := probe.Run(t.Context(), probe.Options{Connect: connect(base), Base: base, Set: set, Patient: patient, Name: "found"})
		if err == nil || strings.Contains(err.Error(), patient) && name == "nobody" && !strings.Contains(err.Error(), "test patient") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, tt := range map[string]struct {
		mode ehr.Mode
		want string
	}{
		"a sign-in page":         {ehr.LoginPage, "check fhir_base"},
		"nobody there":           {ehr.Drop, "check fhir_base, the network, and tls"},
		"a redirect":             {ehr.RedirectElsewhere, "a redirect, which is not followed"},
		"half an answer":         {ehr.Truncate, "its answer is broken"},
		"a failure":              {ehr.HTMLError, "see its log"},
		"pages that have no end": {ehr.EndlessPages, "leads to that page again"},
	} {
		s.Misbehave(tt.mode)
		if _, err := probe.Run(t.Context(), probe.Options{Connect: connect(base), Base: base, Set: set, Patient: "p-00004", Name: "found"}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(up.Close)
		base, err := fhir.ParseBase(up.URL + "/fhir")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := probe.Run(t.Context(), probe.Options{Connect: connect(base), Base: base, Set: set, Patient: "p-00004", Name: "found"}); err == nil || !strings.Contains(err.Error(), "refuses the source's credential") {
			t.Errorf("%d: %v", status, err)
		}
	}
}
