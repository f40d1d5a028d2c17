package quirks_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/fhirserver"
	"github.com/portico-fhir/portico/gateway/upstream/profiles"
	"github.com/portico-fhir/portico/gateway/upstream/quirks"
	"github.com/portico-fhir/portico/gateway/upstream/upstreamtest"
	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/demo/records"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var day = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)

// hospital is an embedded EHR with made-up patients.
func hospital(t *testing.T, o ehr.Options) (*ehr.Server, fhir.Base, []string) {
	t.Helper()
	o.Now = func() time.Time { return day }
	s := ehr.New(o)
	cast, err := records.Generate(records.Options{Seed: 1, Patients: 12, Now: day}, s.Load)
	if err != nil {
		t.Fatal(err)
	}
	up := httptest.NewServer(s)
	t.Cleanup(up.Close)
	base, err := fhir.ParseBase(up.URL + "/fhir")
	if err != nil {
		t.Fatal(err)
	}
	var patients []string
	for _, p := range cast.People {
		for _, login := range []string{"alice", "walter", "sofia"} {
			if p.Login == login {
				patients = append(patients, strings.TrimPrefix(p.FHIRUser[0], "Patient/"))
			}
		}
	}
	if len(patients) != 3 {
		t.Fatalf("patients %v", patients)
	}
	return s, base, patients
}

func connect(t *testing.T, base fhir.Base, p *profiles.Profile) *fhirserver.Server {
	t.Helper()
	up, err := fhirserver.New(fhirserver.Options{Base: base, Accept: p.HTTP.Accept, MediaTypes: p.HTTP.MediaTypes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(up.Close)
	return up
}

func through(t *testing.T, base fhir.Base, p *profiles.Profile) upstream.Reader {
	t.Helper()
	r, err := quirks.New(quirks.Options{Upstream: connect(t, base, p), Base: base, Profile: p})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func named(t *testing.T, name string) *profiles.Profile {
	t.Helper()
	set, err := profiles.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	p, ok := set.Get(name)
	if !ok {
		t.Fatalf("there is no profile %s", name)
	}
	return p
}

func profile(t *testing.T, text string) *profiles.Profile {
	t.Helper()
	p, err := profiles.Parse([]byte("name: test\n" + text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const observationCategories = `
      values: ["http://terminology.hl7.org/CodeSystem/observation-category|laboratory", "http://terminology.hl7.org/CodeSystem/observation-category|vital-signs", "http://terminology.hl7.org/CodeSystem/observation-category|social-history", "http://terminology.hl7.org/CodeSystem/observation-category|survey", "http://terminology.hl7.org/CodeSystem/observation-category|exam", "http://terminology.hl7.org/CodeSystem/observation-category|imaging", "http://terminology.hl7.org/CodeSystem/observation-category|procedure", "http://hl7.org/fhir/us/core/CodeSystem/us-core-category|sdoh", "http://hl7.org/fhir/us/core/CodeSystem/us-core-observation-category|clinical-test"]`

// Whatever a server refuses or leaves out, an answer over it is the answer over
// one that does everything.
func TestAnAnswerIsWholeWhateverTheServerCannotDo(t *testing.T) {
	_, plainBase, patients := hospital(t, ehr.Options{})
	want := connect(t, plainBase, &profiles.Profile{})
	for name, tt := range map[string]struct {
		limits  ehr.Restriction
		options ehr.Options
		profile string
	}{
		"nothing":                      {},
		"no metadata":                  {ehr.Restriction{NoMetadata: true}, ehr.Options{}, "metadata: absent"},
		"category or code needed":      {ehr.Restriction{OneOf: map[string][]string{"Observation": {"category", "code"}}}, ehr.Options{}, "types:\n  Observation:\n    one_of: [category, code]\n    fan_out:\n      param: category" + observationCategories},
		"small pages":                  {ehr.Restriction{RefusePage: 10}, ehr.Options{PageSize: 4}, "search: {max_count: 10}"},
		"page size ignored":            {ehr.Restriction{Ignored: []string{"_count"}}, ehr.Options{PageSize: 30}, "search: {never: [_count]}"},
		"includes ignored":             {ehr.Restriction{NoIncludes: true}, ehr.Options{}, "search: {unstated: drop}"},
		"includes refused":             {ehr.Restriction{Never: []string{"_include", "_revinclude"}}, ehr.Options{}, "search: {never: [_include, _revinclude]}"},
		"only patient and category":    {ehr.Restriction{Params: map[string][]string{"Observation": {"patient", "category"}, "Condition": {"patient"}, "MedicationRequest": {"patient"}}}, ehr.Options{}, "search: {never: [_id]}\ntypes:\n  Observation: {only: [patient, category]}\n  Condition: {only: [patient]}\n  MedicationRequest: {only: [patient]}\n"},
		"what is not stated":           {ehr.Restriction{Unstated: []string{"status", "date", "intent"}, Never: []string{"status", "date", "intent"}}, ehr.Options{}, "search: {unstated: drop}"},
		"_id alone, one value":         {ehr.Restriction{IDAlone: true, OneValue: true}, ehr.Options{}, "search: {plain_id: true, one_value: true}"},
		"bare ids":                     {ehr.Restriction{BareID: true}, ehr.Options{}, "search: {patients: id}"},
		"references":                   {ehr.Restriction{WithReference: true}, ehr.Options{}, "search: {patients: reference}"},
		"whole days":                   {ehr.Restriction{WholeDays: true}, ehr.Options{}, "search: {dates: day}"},
		"no modifiers":                 {ehr.Restriction{NoModifiers: true}, ehr.Options{}, "search: {modifiers: drop}"},
		"no order, no _lastUpdated":    {ehr.Restriction{Never: []string{"_sort", "_lastUpdated"}}, ehr.Options{}, "search: {never: [_sort, _lastUpdated]}"},
		"relative links, bare entries": {ehr.Restriction{RelativeNext: true, BareEntries: true}, ehr.Options{PageSize: 5}, "next: {relative: true}\nsearch: {never: [_include, _revinclude]}"},
		"links under another name":     {ehr.Restriction{Alias: "https://ehr.example.org:8443/r4"}, ehr.Options{PageSize: 5}, "next: {aliases: [\"https://ehr.example.org:8443/r4\"]}"},
		"files only":                   {ehr.Restriction{Files: true, FileType: "text/plain"}, ehr.Options{}, "metadata: absent\nhttp: {media_types: [text/plain]}\nfiles: {read: [\"{type}/{id}\", \"{type}/{id}.json\"], list: [\"{type}\", \"{type}.json\"]}\nsearch: {how: list}"},
		"lists only":                   {ehr.Restriction{NoSearch: true}, ehr.Options{PageSize: 40}, "search: {how: list}"},
	} {
		t.Run(name, func(t *testing.T) {
			s, base, _ := hospital(t, tt.options)
			s.Restrict(tt.limits)
			upstreamtest.Run(t, upstreamtest.Suite{Want: want, Got: through(t, base, profile(t, tt.profile)), Patients: patients})
		})
	}
}
