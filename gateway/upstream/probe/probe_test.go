package probe_test

import (
	"bytes"
	"net/http/httptest"
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
	s.Misbehave(ehr.LoginPage)
	if _, err := probe.Run(t.Context(), probe.Options{Connect: connect(base), Base: base, Set: set, Patient: "p-00004", Name: "found"}); err == nil {
		t.Error("a sign-in page is no EHR")
	}
}
