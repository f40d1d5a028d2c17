package enroll_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/gateway/enroll"
	"github.com/portico-fhir/portico/gateway/enroll/enrolltest"
	"github.com/portico-fhir/portico/internal/fault"
)

const (
	base   = "https://ehr.example.org/fhir"
	source = "north"
	system = "https://ehr.example.org/mrn"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func person() enroll.Person {
	return enroll.Person{Issuer: "https://id.example.org", Subject: "s-1", Name: "Maria Delgado"}
}

// ehr answers reads by reference and searches by query.
type ehr struct {
	reads    map[string]string
	searches map[string][]string
	down     error
	asked    int
}

func (e *ehr) Read(_ context.Context, src, typ, id string) ([]byte, error) {
	e.asked++
	if e.down != nil {
		return nil, e.down
	}
	body, found := e.reads[typ+"/"+id]
	if !found || src != source {
		return nil, fault.New(fault.NotFound, "not found")
	}
	return []byte(body), nil
}

func (e *ehr) Search(_ context.Context, src, typ, query string) ([][]byte, error) {
	e.asked++
	if e.down != nil {
		return nil, e.down
	}
	if src != source || typ != "Patient" {
		return nil, fault.New(fault.Internal, "another search than a test knows")
	}
	var out [][]byte
	for _, body := range e.searches[query] {
		out = append(out, []byte(body))
	}
	return out, nil
}

const (
	maria = `{"resourceType":"Patient","id":"maria","active":true,"identifier":[{"system":"` + system + `","value":"MRN-7"}],
	  "name":[{"use":"nickname","given":["Mari"]},{"use":"usual","text":"Mari Delgado"},{"use":"official","given":["Maria","José"],"family":"Delgado"},{"use":"maiden","family":"Ruiz"}]}`
	leo      = `{"resourceType":"Patient","id":"leo","name":[{"family":"Delgado","given":["Leo"]}]}`
	mother   = `{"resourceType":"RelatedPerson","id":"mother","active":true,"patient":{"reference":"Patient/leo"}}`
	mrnQuery = "identifier=https%3A%2F%2Fehr.example.org%2Fmrn%7CMRN-7"
)

func family() *ehr {
	return &ehr{
		reads:    map[string]string{"Patient/maria": maria, "Patient/leo": leo, "RelatedPerson/mother": mother},
		searches: map[string][]string{mrnQuery: {maria}},
	}
}

var (
	mariaSelf = enroll.Link{Source: source, Patient: "maria", Relationship: enroll.Self, FHIRUser: "Patient/maria", Label: "Maria José Delgado"}
	leoProxy  = enroll.Link{Source: source, Patient: "leo", Relationship: enroll.Proxy, FHIRUser: "RelatedPerson/mother", Label: "Leo Delgado"}
	leoSelf   = enroll.Link{Source: source, Patient: "leo", Relationship: enroll.Self, FHIRUser: "Patient/leo", Label: "Leo Delgado"}
)

type sample struct {
	rule   enroll.SourceRule
	ehr    *ehr
	claims string // JSON, as it comes from the provider
	want   []enroll.Link
	kind   fault.Kind // when there are none
}

// run signs the person in who had a link before, so that it shows when old
// links stay.
func (s sample) run(t *testing.T) {
	t.Helper()
	store := new(enrolltest.Memory)
	old := []enroll.Link{{Source: source, Patient: "old", Relationship: enroll.Self, FHIRUser: "Patient/old"}}
	if err := store.ReplaceLinks(t.Context(), person(), source, old); err != nil {
		t.Fatal(err)
	}
	s.rule.Base = base
	resolver, err := enroll.New(enroll.Options{
		Sources: map[string]enroll.SourceRule{source: s.rule}, Lookup: s.ehr, Store: store, Now: noon,
	})
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal([]byte(s.claims), &claims); err != nil {
		t.Fatal(err)
	}
	err = resolver.SignedIn(t.Context(), source, person(), claims)
	got, listed := resolver.Links(t.Context(), person(), source)
	if listed != nil {
		t.Fatal(listed)
	}
	want := s.want
	switch {
	case len(want) > 0 && err != nil:
		t.Errorf("SignedIn: %v", err)
	case len(want) == 0 && (err == nil || fault.KindOf(err) != s.kind):
		t.Errorf("SignedIn gave %v of kind %d, want kind %d", err, fault.KindOf(err), s.kind)
	case len(want) == 0 && fault.PublicOf(err) == "":
		t.Error("the person is told nothing")
	case len(want) == 0 && s.kind != fault.NotFound:
		want = old // an outage says nothing against them
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b []enroll.Link) bool {
		return len(a) == len(b) && (len(a) == 0 || cmp.Equal(a, b))
	})); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	if err != nil {
		noPersonal(t, err)
	}
}

// noPersonal makes sure that no claim, id or name is in an error.
func noPersonal(t *testing.T, err error) {
	t.Helper()
	for _, secret := range []string{"maria", "Maria", "Delgado", "leo", "mother", "MRN", "stranger", "s-1"} {
		if strings.Contains(err.Error(), secret) || strings.Contains(fault.PublicOf(err), secret) {
			t.Errorf("the error holds %q: %v", secret, err)
		}
	}
}

func with(reference, body string) *ehr {
	e := family()
	e.reads[reference] = body
	return e
}

func relatedPerson(members string) *ehr {
	return with("RelatedPerson/mother", `{"resourceType":"RelatedPerson","id":"mother",`+members+`}`)
}

func patient(members string) *ehr {
	return with("Patient/maria", `{"resourceType":"Patient","id":"maria",`+members+`}`)
}

func down(kind fault.Kind) *ehr {
	return &ehr{down: fault.Wrap(errors.New("dial tcp: refused"), kind, "x")}
}

func without(err error) *ehr { return &ehr{down: err} }

func TestFHIRUserClaim(t *testing.T) {
	const both = `{"fhirUser":["Patient/maria","RelatedPerson/mother"]}`
	const proxy = `{"fhirUser":"RelatedPerson/mother"}`
	const self = `{"fhirUser":"Patient/maria"}`
	for name, s := range map[string]sample{
		"no claim":                              {claims: `{}`},
		"null":                                  {claims: `{"fhirUser":null}`},
		"a number":                              {claims: `{"fhirUser":7}`},
		"an object":                             {claims: `{"fhirUser":{"reference":"Patient/maria"}}`},
		"an array with a number":                {claims: `{"fhirUser":["Patient/maria",7]}`},
		"empty array":                           {claims: `{"fhirUser":[]}`},
		"claim of another spelling":             {claims: `{"fhiruser":"Patient/maria"}`},
		"a bare id":                             {claims: `{"fhirUser":"maria"}`},
		"a Practitioner":                        {claims: `{"fhirUser":"Practitioner/maria"}`},
		"a patient of another server":           {claims: `{"fhirUser":"https://other.example.org/fhir/Patient/maria"}`},
		"a base that begins the same":           {claims: `{"fhirUser":"https://ehr.example.org/fhir2/Patient/maria"}`},
		"a base with a user":                    {claims: `{"fhirUser":"https://ehr.example.org@evil.example/fhir/Patient/maria"}`},
		"a version":                             {claims: `{"fhirUser":"Patient/maria/_history/1"}`},
		"a query":                               {claims: `{"fhirUser":"Patient/maria?x=1"}`},
		"a way up":                              {claims: `{"fhirUser":"Patient/../Patient/maria"}`},
		"two different patients":                {claims: `{"fhirUser":["Patient/maria","Patient/leo"]}`},
		"too many values":                       {claims: `{"fhirUser":[` + strings.TrimSuffix(strings.Repeat(`"Patient/maria",`, 21), ",") + `]}`},
		"a patient the EHR does not have":       {claims: `{"fhirUser":"Patient/stranger"}`},
		"a patient who comes with another id":   {claims: self, ehr: with("Patient/maria", leo)},
		"a patient who comes without id":        {claims: self, ehr: with("Patient/maria", `{"resourceType":"Patient"}`)},
		"something else in place of a patient":  {claims: self, ehr: with("Patient/maria", `{"resourceType":"Person","id":"maria"}`)},
		"a patient with a name twice":           {claims: self, ehr: patient(`"active":false,"active":true`)},
		"an error page in place of a patient":   {claims: self, ehr: with("Patient/maria", `<html>`)},
		"an inactive patient":                   {claims: self, ehr: patient(`"active":false`)},
		"active as text":                        {claims: self, ehr: patient(`"active":"true"`)},
		"active withheld":                       {claims: self, ehr: patient(`"_active":{"extension":[{"url":"u","valueCode":"masked"}]}`)},
		"a merged patient":                      {claims: self, ehr: patient(`"link":[{"type":"replaced-by","other":{"reference":"Patient/leo"}}]`)},
		"an inactive RelatedPerson":             {claims: proxy, ehr: relatedPerson(`"active":false,"patient":{"reference":"Patient/leo"}`)},
		"a RelatedPerson with another id":       {claims: proxy, ehr: with("RelatedPerson/mother", strings.Replace(mother, `"mother"`, `"aunt"`, 1))},
		"a RelatedPerson without patient":       {claims: proxy, ehr: relatedPerson(`"active":true`)},
		"a RelatedPerson of a foreign patient":  {claims: proxy, ehr: relatedPerson(`"patient":{"reference":"https://other.example.org/fhir/Patient/leo"}`)},
		"a RelatedPerson by identifier":         {claims: proxy, ehr: relatedPerson(`"patient":{"identifier":{"value":"leo"}}`)},
		"a RelatedPerson of a contained one":    {claims: proxy, ehr: relatedPerson(`"contained":[{"resourceType":"Patient","id":"leo"}],"patient":{"reference":"#leo"}`)},
		"a RelatedPerson of no patient":         {claims: proxy, ehr: relatedPerson(`"patient":{"reference":"Group/leo"}`)},
		"a RelatedPerson with two patients":     {claims: proxy, ehr: relatedPerson(`"patient":[{"reference":"Patient/leo"},{"reference":"Patient/maria"}]`)},
		"a RelatedPerson of a missing patient":  {claims: proxy, ehr: relatedPerson(`"patient":{"reference":"Patient/stranger"}`)},
		"a RelatedPerson whose time is over":    {claims: proxy, ehr: relatedPerson(`"patient":{"reference":"Patient/leo"},"period":{"end":"2026-02-28"}`)},
		"a RelatedPerson whose time is to come": {claims: proxy, ehr: relatedPerson(`"patient":{"reference":"Patient/leo"},"period":{"start":"2026-03-02"}`)},
		"a RelatedPerson with a strange period": {claims: proxy, ehr: relatedPerson(`"patient":{"reference":"Patient/leo"},"period":{"end":"next year"}`)},
		"the EHR is down":                       {claims: self, ehr: down(fault.Unavailable), kind: fault.Unavailable},
		"the EHR is slow":                       {claims: self, ehr: down(fault.UpstreamTimeout), kind: fault.UpstreamTimeout},
		"the EHR refuses Portico":               {claims: self, ehr: down(fault.Forbidden), kind: fault.Upstream},
		"an error nobody classified":            {claims: self, ehr: without(errors.New("boom")), kind: fault.Upstream},

		"self":                              {claims: self, want: []enroll.Link{mariaSelf}},
		"self, absolute":                    {claims: `{"fhirUser":"` + base + `/Patient/maria"}`, want: []enroll.Link{mariaSelf}},
		"self, twice":                       {claims: `{"fhirUser":["Patient/maria","` + base + `/Patient/maria","Patient/maria"]}`, want: []enroll.Link{mariaSelf}},
		"proxy":                             {claims: proxy, want: []enroll.Link{leoProxy}},
		"self and proxy":                    {claims: both, want: []enroll.Link{mariaSelf, leoProxy}},
		"self comes first":                  {claims: `{"fhirUser":["RelatedPerson/mother","Patient/maria"]}`, want: []enroll.Link{mariaSelf, leoProxy}},
		"self and an inactive proxy":        {claims: both, ehr: relatedPerson(`"active":false,"patient":{"reference":"Patient/leo"}`), want: []enroll.Link{mariaSelf}},
		"self beside what is not of here":   {claims: `{"fhirUser":["Practitioner/p","https://other.example.org/Patient/maria","Patient/maria"]}`, want: []enroll.Link{mariaSelf}},
		"a RelatedPerson of oneself":        {claims: both, ehr: relatedPerson(`"patient":{"reference":"Patient/maria"}`), want: []enroll.Link{mariaSelf}},
		"a RelatedPerson, absolute patient": {claims: proxy, ehr: relatedPerson(`"patient":{"reference":"` + base + `/Patient/leo"}`), want: []enroll.Link{leoProxy}},
	} {
		t.Run(name, func(t *testing.T) {
			s.rule = enroll.SourceRule{Rule: enroll.FHIRUser}
			if s.ehr == nil {
				s.ehr = family()
			}
			if s.kind == fault.Internal {
				s.kind = fault.NotFound
			}
			s.run(t)
		})
	}
}

func TestProxyEndsWithTheRelatedPersonsPeriod(t *testing.T) {
	for end, until := range map[string]time.Time{
		"2026":                 time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
		"2026-03":              time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC),
		"2026-03-01":           time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC),
		"2026-03-01T12:00:00Z": time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC),
	} {
		want := leoProxy
		want.Until = until
		sample{
			rule:   enroll.SourceRule{Rule: enroll.FHIRUser},
			ehr:    relatedPerson(`"patient":{"reference":"Patient/leo"},"period":{"start":"2020-05-05","end":"` + end + `"}`),
			claims: `{"fhirUser":"RelatedPerson/mother"}`, want: []enroll.Link{want},
		}.run(t)
	}
}

func TestPatientIDClaim(t *testing.T) {
	for name, s := range map[string]sample{
		"several ids alone":                          {claims: `{"patient":["maria","leo"]}`},
		"a number":                                   {claims: `{"patient":7}`},
		"no id":                                      {claims: `{"patient":"maria smith"}`},
		"another type":                               {claims: `{"patient":"Practitioner/maria"}`},
		"a foreign reference":                        {claims: `{"patient":"https://other.example.org/fhir/Patient/maria"}`},
		"a patient the EHR does not have":            {claims: `{"patient":"stranger"}`},
		"a RelatedPerson of another patient":         {claims: `{"patient":"maria","fhirUser":"RelatedPerson/mother"}`},
		"fhirUser is another patient":                {claims: `{"patient":"leo","fhirUser":"Patient/maria"}`},
		"fhirUser is empty":                          {claims: `{"patient":"leo","fhirUser":""}`},
		"fhirUser is a Practitioner":                 {claims: `{"patient":"leo","fhirUser":"Practitioner/p"}`},
		"the EHR is down":                            {claims: `{"patient":"maria"}`, ehr: down(fault.Unavailable), kind: fault.Unavailable},
		"one id is the person":                       {claims: `{"patient":"maria"}`, want: []enroll.Link{mariaSelf}},
		"one id in an array":                         {claims: `{"patient":["leo"]}`, want: []enroll.Link{leoSelf}},
		"one id as a reference":                      {claims: `{"patient":"` + base + `/Patient/maria"}`, want: []enroll.Link{mariaSelf}},
		"proxy by RelatedPerson":                     {claims: `{"patient":"leo","fhirUser":"RelatedPerson/mother"}`, want: []enroll.Link{leoProxy}},
		"self and proxy":                             {claims: `{"patient":["leo","maria"],"fhirUser":["Patient/maria","RelatedPerson/mother"]}`, want: []enroll.Link{mariaSelf, leoProxy}},
		"an id without a RelatedPerson is not given": {claims: `{"patient":["leo","maria"],"fhirUser":"Patient/maria"}`, want: []enroll.Link{mariaSelf}},
		"a proxy that the ids do not name goes":      {claims: `{"patient":"maria","fhirUser":["Patient/maria","RelatedPerson/mother"]}`, want: []enroll.Link{mariaSelf}},
	} {
		t.Run(name, func(t *testing.T) {
			s.rule = enroll.SourceRule{Rule: enroll.PatientID}
			if s.ehr == nil {
				s.ehr = family()
			}
			if s.kind == fault.Internal {
				s.kind = fault.NotFound
			}
			s.run(t)
		})
	}
}

func found(bodies ...string) *ehr {
	e := family()
	e.searches[mrnQuery] = bodies
	return e
}

func bearing(identifier string) *ehr {
	return found(`{"resourceType":"Patient","id":"maria","identifier":[` + identifier + `]}`)
}

func TestIdentifierClaim(t *testing.T) {
	const claim = `{"mrn":"MRN-7"}`
	const outcome = `{"resourceType":"OperationOutcome","issue":[]}`
	for name, s := range map[string]sample{
		"no claim":                            {claims: `{}`},
		"two values":                          {claims: `{"mrn":["MRN-7","MRN-8"]}`},
		"a number":                            {claims: `{"mrn":7}`},
		"a bar in the value":                  {claims: `{"mrn":"x|MRN-7"}`},
		"a comma in the value":                {claims: `{"mrn":"MRN-7,MRN-8"}`},
		"a space in the value":                {claims: `{"mrn":"MRN-7 "}`},
		"a control character in the value":    {claims: `{"mrn":"MRN-7\u0000"}`},
		"nobody":                              {claims: claim, ehr: found()},
		"an outcome alone":                    {claims: claim, ehr: found(outcome)},
		"two hits":                            {claims: claim, ehr: found(maria, leo)},
		"the same hit twice":                  {claims: claim, ehr: found(maria, maria)},
		"a hit without the identifier":        {claims: claim, ehr: found(leo)},
		"a hit of another type":               {claims: claim, ehr: found(strings.Replace(maria, `"Patient"`, `"Person"`, 1))},
		"a hit beside another type":           {claims: claim, ehr: found(maria, mother)},
		"a hit without id":                    {claims: claim, ehr: found(strings.Replace(maria, `"id":"maria",`, "", 1))},
		"an unreadable hit":                   {claims: claim, ehr: found(`{`)},
		"an unreadable hit beside a good one": {claims: claim, ehr: found(maria, `{`)},
		"another system":                      {claims: claim, ehr: bearing(`{"system":"https://other.example.org","value":"MRN-7"}`)},
		"no system":                           {claims: claim, ehr: bearing(`{"value":"MRN-7"}`)},
		"another value":                       {claims: claim, ehr: bearing(`{"system":"` + system + `","value":"mrn-7"}`)},
		"system and value apart":              {claims: claim, ehr: bearing(`{"system":"` + system + `","value":"x"},{"system":"s","value":"MRN-7"}`)},
		"an old identifier":                   {claims: claim, ehr: bearing(`{"use":"old","system":"` + system + `","value":"MRN-7"}`)},
		"an identifier whose time is over":    {claims: claim, ehr: bearing(`{"system":"` + system + `","value":"MRN-7","period":{"end":"2020"}}`)},
		"an inactive patient":                 {claims: claim, ehr: found(strings.Replace(maria, `"active":true`, `"active":false`, 1))},
		"the EHR is down":                     {claims: claim, ehr: down(fault.Unavailable), kind: fault.Unavailable},
		"the EHR has no such search":          {claims: claim, ehr: down(fault.NotFound), kind: fault.Upstream},
		"one patient":                         {claims: claim, want: []enroll.Link{mariaSelf}},
		"one patient in an array of one":      {claims: `{"mrn":["MRN-7"]}`, want: []enroll.Link{mariaSelf}},
		"one patient and an outcome":          {claims: claim, ehr: found(outcome, maria), want: []enroll.Link{mariaSelf}},
	} {
		t.Run(name, func(t *testing.T) {
			s.rule = enroll.SourceRule{Rule: enroll.Identifier, Claim: "mrn", System: system}
			if s.ehr == nil {
				s.ehr = family()
			}
			if s.kind == fault.Internal {
				s.kind = fault.NotFound
			}
			s.run(t)
		})
	}
}

func TestLabelIsANameInUse(t *testing.T) {
	for names, want := range map[string]string{
		`[]`: "Name not recorded",
		`[{"use":"old","text":"Old Name"},{"use":"maiden","text":"Born Name"}]`:                          "Name not recorded",
		`[{"use":"usual","text":"Usual"},{"use":"official","text":"Former","period":{"end":"2020"}}]`:    "Usual",
		`[{"text":"First"},{"use":"usual","text":"Usual"}]`:                                              "Usual",
		`[{"use":"nickname","text":"Nick"}]`:                                                             "Nick",
		`[{"use":"official","given":["Ann"],"family":"Lee","suffix":["Jr."]}]`:                           "Ann Lee Jr.",
		`[{"use":"official"},{"use":"usual","family":"Lee"}]`:                                            "Lee",
		`[{"text":"a\u202eb\n\tc\u0000 "}]`:                                                              "ab c",
		fmt.Sprintf(`[{"text":%q}]`, strings.Repeat("é", 300)):                                           strings.Repeat("é", 100),
		`{"use":"official","text":"No array"}`:                                                           "No array",
		`[{"use":"official","_text":{"extension":[]},"_given":[null],"given":[null],"family":"Masked"}]`: "Masked",
	} {
		link := enroll.Link{Source: source, Patient: "maria", Relationship: enroll.Self, FHIRUser: "Patient/maria", Label: want}
		sample{
			rule: enroll.SourceRule{Rule: enroll.FHIRUser}, ehr: patient(`"name":` + names),
			claims: `{"fhirUser":"Patient/maria"}`, want: []enroll.Link{link},
		}.run(t)
	}
}

func TestAnEHRIsAskedOnceForEachResource(t *testing.T) {
	e := family()
	e.reads["RelatedPerson/aunt"] = `{"resourceType":"RelatedPerson","id":"aunt","patient":{"reference":"Patient/leo"}}`
	sample{
		rule: enroll.SourceRule{Rule: enroll.FHIRUser}, ehr: e,
		claims: `{"fhirUser":["RelatedPerson/mother","RelatedPerson/aunt"]}`, want: []enroll.Link{leoProxy},
	}.run(t)
	if e.asked != 3 {
		t.Errorf("the EHR was asked %d times, want 3", e.asked)
	}
}

func TestImpossibleOptionsAreRefused(t *testing.T) {
	for name, rule := range map[string]enroll.SourceRule{
		"no rule":                   {Base: base},
		"no base":                   {Rule: enroll.FHIRUser},
		"relative base":             {Rule: enroll.FHIRUser, Base: "/fhir"},
		"identifier without claim":  {Rule: enroll.Identifier, Base: base, System: system},
		"identifier without system": {Rule: enroll.Identifier, Base: base, Claim: "mrn"},
		"system with a bar":         {Rule: enroll.Identifier, Base: base, Claim: "mrn", System: "a|b"},
		"system for fhirUser":       {Rule: enroll.FHIRUser, Base: base, System: system},
	} {
		_, err := enroll.New(enroll.Options{
			Sources: map[string]enroll.SourceRule{source: rule}, Lookup: family(), Store: new(enrolltest.Memory), Now: noon,
		})
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := enroll.New(enroll.Options{}); err == nil {
		t.Error("no parts: accepted")
	}
}

func TestARuleNamesEveryClaimItReads(t *testing.T) {
	for _, row := range []struct {
		rule enroll.SourceRule
		want []string
	}{
		{enroll.SourceRule{Rule: enroll.FHIRUser}, []string{"fhirUser"}},
		{enroll.SourceRule{Rule: enroll.FHIRUser, Claim: "record"}, []string{"record"}},
		{enroll.SourceRule{Rule: enroll.PatientID}, []string{"patient", "fhirUser"}},
		{enroll.SourceRule{Rule: enroll.PatientID, Claim: "pid"}, []string{"pid", "fhirUser"}},
		{enroll.SourceRule{Rule: enroll.Identifier, Claim: "mrn"}, []string{"mrn"}},
	} {
		if diff := cmp.Diff(row.want, row.rule.Claims()); diff != "" {
			t.Errorf("%v: %s", row.rule, diff)
		}
	}
}

func TestSourcesAndPeopleThatAreUnknown(t *testing.T) {
	resolver, err := enroll.New(enroll.Options{
		Sources: map[string]enroll.SourceRule{source: {Rule: enroll.FHIRUser, Base: base}},
		Lookup:  family(), Store: new(enrolltest.Memory), Now: noon,
	})
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{"fhirUser": "Patient/maria"}
	if err := resolver.SignedIn(t.Context(), "south", person(), claims); fault.KindOf(err) != fault.Internal || err == nil {
		t.Errorf("an unknown source gave %v", err)
	}
	if err := resolver.SignedIn(t.Context(), source, enroll.Person{Issuer: "i"}, claims); err == nil {
		t.Error("a person without subject was taken")
	}
}

// failing is a store that is down.
type failing struct{ enroll.Store }

func (failing) ReplaceLinks(context.Context, enroll.Person, string, []enroll.Link) error {
	return errors.New("disk full")
}

func (failing) Links(context.Context, enroll.Person, string, time.Time) ([]enroll.Link, error) {
	return nil, errors.New("disk full")
}

func TestAStoreThatFailsIsUnavailableAndNeverNobody(t *testing.T) {
	resolver, err := enroll.New(enroll.Options{
		Sources: map[string]enroll.SourceRule{source: {Rule: enroll.FHIRUser, Base: base}},
		Lookup:  family(), Store: failing{}, Now: noon,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, claim := range []string{"Patient/maria", "Patient/stranger"} {
		if err := resolver.SignedIn(t.Context(), source, person(), map[string]any{"fhirUser": claim}); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("SignedIn gave %v", err)
		}
	}
	if _, err := resolver.Links(t.Context(), person(), source); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Links gave %v", err)
	}
}
