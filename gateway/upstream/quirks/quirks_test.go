package quirks_test

import (
	"net/http/httptest"
	"slices"
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
	"github.com/portico-fhir/portico/internal/racing"
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

func named(t testing.TB, name string) *profiles.Profile {
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

func parsed(text string) (*profiles.Profile, error) {
	return profiles.Parse([]byte("name: test\n" + text))
}

func profile(t *testing.T, text string) *profiles.Profile {
	t.Helper()
	p, err := parsed(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const observationCategories = `
      values: ["http://terminology.hl7.org/CodeSystem/observation-category|laboratory", "http://terminology.hl7.org/CodeSystem/observation-category|vital-signs", "http://terminology.hl7.org/CodeSystem/observation-category|social-history", "http://terminology.hl7.org/CodeSystem/observation-category|survey", "http://terminology.hl7.org/CodeSystem/observation-category|exam", "http://terminology.hl7.org/CodeSystem/observation-category|imaging", "http://terminology.hl7.org/CodeSystem/observation-category|procedure", "http://hl7.org/fhir/us/core/CodeSystem/us-core-category|functional-status", "http://hl7.org/fhir/us/core/CodeSystem/us-core-category|disability-status", "http://hl7.org/fhir/us/core/CodeSystem/us-core-category|cognitive-status", "http://hl7.org/fhir/us/core/CodeSystem/us-core-category|sdoh", "http://hl7.org/fhir/us/core/CodeSystem/us-core-observation-category|clinical-test"]`

// Whatever a server refuses or leaves out, an answer over it is the answer over
// one that does everything.
func TestAnAnswerIsWholeWhateverTheServerCannotDo(t *testing.T) {
	_, plainBase, patients := hospital(t, ehr.Options{})
	want := upstreamtest.NewReference(connect(t, plainBase, &profiles.Profile{}))
	limited, limitedBase, _ := hospital(t, ehr.Options{PageSize: 40})
	for name, tt := range map[string]struct {
		limits  ehr.Restriction
		profile string
	}{
		"nothing":                      {},
		"no metadata":                  {ehr.Restriction{NoMetadata: true}, "metadata: absent"},
		"category or code needed":      {ehr.Restriction{OneOf: map[string][]string{"Observation": {"category", "code"}}}, "types:\n  Observation:\n    one_of: [category, code]\n    fan_out:\n      param: category" + observationCategories},
		"small pages":                  {ehr.Restriction{RefusePage: 10, MaxPage: 10}, "search: {max_count: 10}"},
		"page size ignored":            {ehr.Restriction{Ignored: []string{"_count"}}, "search: {never: [_count]}"},
		"includes ignored":             {ehr.Restriction{NoIncludes: true}, "search: {unstated: drop}"},
		"includes refused":             {ehr.Restriction{Never: []string{"_include", "_revinclude"}}, "search: {never: [_include, _revinclude]}"},
		"only patient and category":    {ehr.Restriction{Params: map[string][]string{"Observation": {"patient", "category"}, "Condition": {"patient"}, "MedicationRequest": {"patient"}}}, "search: {never: [_id]}\ntypes:\n  Observation: {only: [patient, category]}\n  Condition: {only: [patient]}\n  MedicationRequest: {only: [patient]}\n"},
		"what is not stated":           {ehr.Restriction{Unstated: []string{"status", "date", "intent"}, Never: []string{"status", "date", "intent"}}, "search: {unstated: drop}"},
		"_id alone, one value":         {ehr.Restriction{IDAlone: true, OneValue: true}, "search: {plain_id: true, one_value: true}"},
		"its own parameter":            {ehr.Restriction{Wants: map[string]string{"ah-practice": "Organization/a-1.Practice-195900"}, RefusePage: 30}, "search: {max_count: 30, add: {ah-practice: Organization/a-1.Practice-195900}}"},
		"refused with status 200":      {ehr.Restriction{Soft: true, OneOf: map[string][]string{"Observation": {"category", "code"}, "MedicationRequest": {"intent"}}}, "types:\n  MedicationRequest: {one_of: [intent], fan_out: {param: intent, values: [order, plan, nonsense]}}\n  Observation:\n    one_of: [category, code]\n    fan_out:\n      param: category" + observationCategories},
		"bare ids":                     {ehr.Restriction{BareID: true}, "search: {patients: id}"},
		"references":                   {ehr.Restriction{WithReference: true}, "search: {patients: reference}"},
		"whole days":                   {ehr.Restriction{WholeDays: true}, "search: {dates: day}"},
		"no modifiers":                 {ehr.Restriction{NoModifiers: true}, "search: {modifiers: drop}"},
		"no order, no _lastUpdated":    {ehr.Restriction{Never: []string{"_sort", "_lastUpdated"}}, "search: {never: [_sort, _lastUpdated]}"},
		"relative links, bare entries": {ehr.Restriction{RelativeNext: true, BareEntries: true, MaxPage: 30}, "next: {relative: true}\nsearch: {never: [_include, _revinclude]}"},
		"links under another name":     {ehr.Restriction{Alias: "https://ehr.example.org:8443/r4"}, "next: {aliases: [\"https://ehr.example.org:8443/r4\"]}"},
		"files only":                   {ehr.Restriction{Files: true, FileType: "text/plain"}, "metadata: absent\nhttp: {media_types: [text/plain]}\nfiles: {read: [\"{type}/{id}\", \"{type}/{id}.json\"], list: [\"{type}\", \"{type}.json\"]}\nsearch: {how: list}"},
		"lists only":                   {ehr.Restriction{NoSearch: true}, "search: {how: list}"},
	} {
		if racing.On && !slices.Contains([]string{"category or code needed", "relative links, bare entries", "files only"}, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			limited.Restrict(tt.limits)
			upstreamtest.Run(t, upstreamtest.Suite{Want: want, Got: through(t, limitedBase, profile(t, tt.profile)), Patients: patients})
		})
	}
}

// Each profile copes with a server that does what the profile says of it.
func TestABuiltInProfileMakesItsServerWhole(t *testing.T) {
	_, plainBase, patients := hospital(t, ehr.Options{})
	want := upstreamtest.NewReference(connect(t, plainBase, &profiles.Profile{}))
	limited, limitedBase, _ := hospital(t, ehr.Options{PageSize: 40})
	needs := map[string][]string{"Observation": {"category", "code"}, "CarePlan": {"category"}}
	for name, limits := range map[string]ehr.Restriction{
		"generic": {},
		"epic":    {OneOf: needs, NoModifiers: true, RefusePage: 100, NoPostSearch: true, Unstated: []string{"_lastUpdated", "intent"}, Never: []string{"_lastUpdated", "intent"}},
		"oracle-health": {
			IDAlone: true, BareID: true, WholeDays: true, NoModifiers: true, RefusePage: 200, OneOf: map[string][]string{"CarePlan": {"category"}},
			Params: map[string][]string{"CarePlan": {"patient", "category", "_id"}, "Provenance": {"target", "_id"}},
		},
		"athenahealth": {Soft: true, OneOf: map[string][]string{"Observation": {"category", "code"}, "CarePlan": {"category"}, "MedicationRequest": {"intent"}}, NoModifiers: true, RefusePage: 100},
		"hapi":         {RefusePage: 200},
		"medplum":      {RefusePage: 1000},
		"naive":        {Files: true, FileType: "application/octet-stream"},
	} {
		if racing.On && name != "epic" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			limited.Restrict(limits)
			upstreamtest.Run(t, upstreamtest.Suite{Want: want, Got: through(t, limitedBase, named(t, name)), Patients: patients[1:]})
		})
	}
}
