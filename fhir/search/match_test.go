package search_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
)

// matchRow asks whether a resource of type typ, with these members, is found.
type matchRow struct {
	typ, members, query string
	want                bool
}

func now() time.Time { return time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC) }

func matcher(t *testing.T) search.Matcher {
	t.Helper()
	base, err := fhir.ParseBase("https://ehr.example/fhir")
	if err != nil {
		t.Fatal(err)
	}
	return search.Matcher{Base: base, Now: now}
}

// escaped lets queries be written as people think of them.
func escaped(query string) string {
	parts := strings.Split(query, "&")
	for i, p := range parts {
		name, value, _ := strings.Cut(p, "=")
		parts[i] = name + "=" + url.QueryEscape(value)
	}
	return strings.Join(parts, "&")
}

func runMatches(t *testing.T, rows []matchRow) {
	t.Helper()
	m := matcher(t)
	for _, row := range rows {
		r := resource(t, `{"resourceType":"`+row.typ+`","id":"a"`+strings.TrimSuffix(","+row.members, ",")+`}`)
		q, err := trusted(row.typ, escaped(row.query))
		if err != nil {
			t.Errorf("%s?%s: %v", row.typ, row.query, err)
			continue
		}
		got, err := m.Match(q, r)
		if err != nil || got != row.want {
			t.Errorf("%s?%s on %s: %v, %v; want %v", row.typ, row.query, row.members, got, err, row.want)
		}
	}
}

func TestMatchDates(t *testing.T) {
	day := `"effectiveDateTime":"2013-06-10"`
	minute := `"effectiveDateTime":"2013-06-10T10:30:00+02:00"` // 08:30 UTC
	period := `"effectivePeriod":{"start":"2013-06-01","end":"2013-06-30"}`
	since := `"effectivePeriod":{"start":"2013-06-01"}`
	until := `"effectivePeriod":{"end":"2013-06-30"}`
	timing := `"effectiveTiming":{"event":["2013-06-20","2013-06-10"]}`
	bounds := `"effectiveTiming":{"repeat":{"boundsPeriod":{"start":"2013-06-01","end":"2013-06-30"},"frequency":1}}`
	o := func(members, value string, want bool) matchRow {
		return matchRow{"Observation", members, "date=" + value, want}
	}
	runMatches(t, []matchRow{
		// R4 search 3.1.1.4.7: the searched range must contain the resource's.
		o(day, "2013-06-10", true), o(day, "2013-06", true), o(day, "2013", true), o(day, "2014", false),
		o(day, "2013-06-11", false), o(day, "2013-06-10T10:00:00Z", false), o(day, "eq2013-06-10", true),
		o(minute, "2013-06-10", true), o(minute, "2013-06-10T08:30:00Z", true), o(minute, "2013-06-10T08:30Z", true),
		o(minute, "2013-06-10T10:30:00+02:00", true), o(minute, "2013-06-10T10:30:00Z", false),
		o(minute, "2013-06-10T08:30:00.0Z", false), // the resource's second is wider than the searched tenth
		o(`"effectiveInstant":"2013-06-10T08:30:00.123Z"`, "2013-06-10T08:30:00Z", true),
		o(`"effectiveInstant":"2013-06-10T08:30:00.123Z"`, "2013-06-10T08:30:00.123Z", true),
		o(`"effectiveInstant":"2013-06-10T08:30:00.123Z"`, "2013-06-10T08:30:00.124Z", false),
		o(`"effectiveDateTime":"2013-06-10T23:30:00-05:00"`, "2013-06-11", true), // across midnight in UTC
		o(`"effectiveDateTime":"2013-06-10T23:30:00-05:00"`, "2013-06-10", false),
		o(`"effectiveDateTime":"2012-12-31T23:59:60Z"`, "2012-12-31T23:59:60Z", true), // a leap second
		o(day, "ne2013-06-10", false), o(day, "ne2013-06-11", true), o(day, "ne2013", false),
		o(day, "gt2013-06-09", true), o(day, "gt2013-06-10", false), o(day, "gt2013", false),
		o(day, "gt2013-06-10T08:00:00Z", true), // the day reaches beyond that second
		o(day, "lt2013-06-11", true), o(day, "lt2013-06-10", false), o(day, "lt2013-06-10T08:00:00Z", true),
		o(day, "ge2013-06-10", true), o(day, "ge2013-06-11", false), o(day, "ge2013", true), o(day, "ge2013-06-10T23:59:59Z", false),
		o(day, "le2013-06-10", true), o(day, "le2013-06-09", false), o(day, "le2013", true),
		o(day, "sa2013-06-09", true), o(day, "sa2013-06-10", false), o(day, "sa2013-06-10T00:00:00Z", false),
		o(day, "eb2013-06-11", true), o(day, "eb2013-06-10", false),
		o(period, "2013-06", true), o(period, "2013-06-10", false), o(period, "ge2013-06-10", true), o(period, "le2013-06-10", true),
		o(period, "gt2013-06-29", true), o(period, "gt2013-06-30", false), o(period, "lt2013-06-02", true), o(period, "lt2013-06-01", false),
		o(period, "sa2013-05-31", true), o(period, "sa2013-06-01", false), o(period, "eb2013-07-01", true), o(period, "eb2013-06-30", false),
		o(since, "gt2099", true), o(since, "2013", false), o(since, "lt2013-05", false), o(since, "lt2013-07", true), o(since, "sa2013-05", true),
		o(since, "eb2099", false), o(until, "lt1900", true), o(until, "gt2013-07", false), o(until, "sa1900", false), o(until, "eb2013-07", true),
		o(timing, "2013-06", true), o(timing, "2013-06-10", false), o(timing, "gt2013-06-19", true), o(timing, "lt2013-06-11", true),
		o(timing, "sa2013-06-20", false), o(bounds, "2013-06", true), o(bounds, "gt2013-06-15", true),
		o(`"effectiveTiming":{"repeat":{"frequency":1}}`, "gt1900", false), // names no time
		// ap: a tenth of the time between the searched date and now (2024): ten years here, so one.
		o(`"effectiveDateTime":"2014-10-01"`, "ap2014-01-01", true), o(`"effectiveDateTime":"2015-02-01"`, "ap2014-01-01", false),
		o(`"effectiveDateTime":"2013-02-01"`, "ap2014-01-01", true), o(`"effectiveDateTime":"2012-10-01"`, "ap2014-01-01", false),
		o("", "2013", false), o("", "ne2013", false), // nothing there is not something else
		o(day, "2012,2013", true), o(day, "2012,2014", false),
		{"Observation", day, "date=ge2013-06-01&date=lt2013-07", true}, {"Observation", day, "date=ge2013-06-01&date=lt2013-06-05", false},
		{"Observation", day, "date:missing=false", true}, {"Observation", day, "date:missing=true", false}, {"Observation", "", "date:missing=true", true},
		{"Observation", `"_effectiveDateTime":{"extension":[]}`, "date:missing=true", true},
		{"Observation", `"meta":{"lastUpdated":"2020-02-29T12:00:00.000+00:00"}`, "_lastUpdated=gt2020-02-29T11:59:59Z", true},
		{"Patient", `"birthDate":"1970"`, "birthdate=1970", true}, {"Patient", `"birthDate":"1970"`, "birthdate=1970-01", false},
		{"Patient", `"deceasedDateTime":"2020-05-01T00:00:00Z"`, "death-date=2020-05", true}, {"Patient", `"deceasedBoolean":true`, "death-date=2020", false},
		{"Goal", `"target":[{"dueString":"soon"},{"dueDate":"2020-01-02"}]`, "target-date=2020-01-02", true},
		{"Condition", `"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/condition-assertedDate","valueDateTime":"2015-03-02"}]`, "asserted-date=2015-03", true},
		{"Condition", `"extension":[{"url":"http://hl7.org/fhir/other","valueDateTime":"2015-03-02"}]`, "asserted-date=2015-03", false},
		{"Condition", `"onsetString":"as a child"`, "onset-date=lt2020", false},
		{"Immunization", `"occurrenceString":"2020-01-01"`, "date=2020-01-01", false},
	})
}

func TestMatchTokens(t *testing.T) {
	code := `"code":{"text":"Systolic blood pressure","coding":[{"system":"http://loinc.org","code":"8480-6","display":"Systolic BP"},{"code":"local"}]}`
	o := func(members, query string, want bool) matchRow { return matchRow{"Observation", members, query, want} }
	identifier := `"identifier":[{"system":"urn:mrn","value":"Abc1","type":{"text":"Medical record","coding":[{"system":"http://t","code":"MR"}]}},{"value":"bare"}]`
	p := func(members, query string, want bool) matchRow { return matchRow{"Patient", members, query, want} }
	runMatches(t, []matchRow{
		o(code, "code=8480-6", true), o(code, "code=http://loinc.org|8480-6", true), o(code, "code=http://LOINC.org|8480-6", false),
		o(code, "code=http://snomed.info/sct|8480-6", false), o(code, "code=|8480-6", false), o(code, "code=|local", true),
		o(code, "code=http://loinc.org|local", false), o(code, "code=http://loinc.org|", true), o(code, "code=http://snomed.info/sct|", false),
		o(code, "code=LOCAL", true), o(code, "code=8480", false), o(code, "code=x,local", true), o(code, "code=x,y", false),
		o(code, "code=8480-6&code=local", true), o(code, "code=8480-6&code=x", false),
		o(code, "code:not=8480-6", false), o(code, "code:not=x", true), o(code, "code:not=x,local", false), o("", "code:not=x", true),
		o(code, "code:text=systolic", true), o(code, "code:text=systolic bp", true), o(code, "code:text=blood", false), o(code, "code:text=8480-6", false),
		o(code, "code:missing=false", true), o("", "code:missing=true", true), o(`"code":{"text":"words only"}`, "code=words only", false),
		o(`"code":{"coding":[{"system":"a|b","code":"c,d$e\\"}]}`, `code=a\|b|c\,d\$e\\`, true),
		o(`"code":{"coding":[{"system":"http://loinc.org"}]}`, "code=http://loinc.org|", true), // a system alone
		// A code carries the system of its required binding.
		o(`"status":"final"`, "status=final", true), o(`"status":"final"`, "status=FINAL", true), o(`"status":"final"`, "status=fina", false),
		o(`"status":"final"`, "status=http://hl7.org/fhir/observation-status|final", true),
		o(`"status":"final"`, "status=http://hl7.org/fhir/other|final", false), o(`"status":"final"`, "status=|final", true),
		o(`"status":"final"`, "status=http://hl7.org/fhir/observation-status|", true),
		p(`"active":true`, "active=true", true), p(`"active":false`, "active=true", false), p("", "active=false", false),
		p(`"active":true`, "active=http://terminology.hl7.org/CodeSystem/special-values|true", true),
		p(`"gender":"female"`, "gender=female", true), p(`"gender":"female"`, "gender=male", false),
		// Patient.deceased: present and not false.
		p("", "deceased=false", true), p("", "deceased=true", false), p("", "deceased:not=true", true), p("", "deceased:missing=true", true),
		p(`"deceasedBoolean":true`, "deceased=true", true), p(`"deceasedBoolean":false`, "deceased=true", false),
		p(`"deceasedBoolean":false`, "deceased=false", true), p(`"deceasedDateTime":"2020"`, "deceased=true", true),
		p(`"deceasedDateTime":"2020"`, "deceased=false", false), p(`"deceasedDateTime":"2020"`, "deceased:missing=false", true),
		// Identifiers name somebody: exact.
		p(identifier, "identifier=urn:mrn|Abc1", true), p(identifier, "identifier=Abc1", true), p(identifier, "identifier=abc1", false),
		p(identifier, "identifier=urn:other|Abc1", false), p(identifier, "identifier=|bare", true), p(identifier, "identifier=|Abc1", false),
		p(identifier, "identifier=urn:mrn|", true), p(identifier, "identifier:text=medical", true),
		p(identifier, "identifier:of-type=http://t|MR|Abc1", true), p(identifier, "identifier:of-type=http://t|MR|bare", false),
		p(identifier, "identifier:of-type=http://t|DL|Abc1", false),
		p("", "_id=a", true), p("", "_id=A", false), p("", "_id=b,a", true), p(`"meta":{"tag":[{"system":"s","code":"c"}]}`, "_tag=s|c", true),
		p(`"meta":{"security":[{"system":"s","code":"R"}]}`, "_security=s|r", true),
		p(`"telecom":[{"system":"email","value":"A@x.example"}]`, "email=a@x.example", true), p(`"telecom":[{"system":"email","value":"A@x.example"}]`, "phone=a@x.example", false),
		p(`"telecom":[{"system":"phone","value":"555"}]`, "telecom=phone|555", true), p(`"telecom":[{"system":"phone","value":"555"}]`, "telecom=email|555", false),
		p(`"extension":[{"url":"http://hl7.org/fhir/us/core/StructureDefinition/us-core-race","extension":[{"url":"ombCategory","valueCoding":{"system":"urn:oid:2.16.840.1.113883.6.238","code":"2106-3"}}]}]`,
			"race=urn:oid:2.16.840.1.113883.6.238|2106-3", true),
		{"Encounter", `"class":{"system":"http://c","code":"AMB"}`, "class=http://c|AMB", true},
		{"Encounter", `"hospitalization":{"dischargeDisposition":{"coding":[{"code":"home"}]}}`, "discharge-disposition=home", true},
		{"MedicationRequest", `"medicationCodeableConcept":{"coding":[{"code":"1"}]}`, "code=1", true},
		{"MedicationRequest", `"medicationReference":{"reference":"Medication/1"}`, "code=1", false},
	})
}

func TestMatchStrings(t *testing.T) {
	name := `"name":[{"text":"Dr. Zoë  Ångström","family":"Ångström","given":["Zoë","Straße"],"prefix":["Dr."]}]`
	p := func(members, query string, want bool) matchRow { return matchRow{"Patient", members, query, want} }
	runMatches(t, []matchRow{
		p(name, "name=ång", true), p(name, "name=ang", true), p(name, "name=ANGSTROM", true), p(name, "name=zoe", true), p(name, "name=oe", false),
		p(name, "name=dr. zoe angstrom", true), p(name, "name=strasse", true), p(name, "name=dr", true), p(name, "name=x,zoe", true),
		p(name, "family=zoe", false), p(name, "given=zoe", true), p(name, "given=straße", true),
		p(name, "family:exact=Ångström", true), p(name, "family:exact=Angström", false), p(name, "family:exact=ångström", false), p(name, "family:exact=Ång", false),
		p(name, "family:contains=GSTR", true), p(name, "family:contains=xx", false), p(name, "name:contains=oe", true),
		p("", "name=zoe", false), p("", "name:missing=true", true), p(name, "name:missing=false", true),
		p("\"name\":[{\"family\":\"A\u030angstro\u0308m\"}]", "family=ångström", true), // the same letters, decomposed
		p(`"address":[{"line":["1 Main St","Flat 2"],"city":"Springfield","postalCode":"00123"}]`, "address=flat", true),
		p(`"address":[{"line":["1 Main St"],"city":"Springfield","postalCode":"00123"}]`, "address-city=spring", true),
		p(`"address":[{"line":["1 Main St"],"city":"Springfield","postalCode":"00123"}]`, "address-postalcode=123", false),
		p(`"address":[{"city":"a,b"}]`, `address-city=a\,b`, true),
		{"Location", `"name":"Ward 1","alias":["First"]`, "name=first", true},
		{"Observation", `"valueString":"Positive"`, "value-string=pos", true},
		{"Observation", `"valueCodeableConcept":{"text":"Positive"}`, "value-string=pos", true},
	})
}

func TestMatchNumbersAndQuantities(t *testing.T) {
	q := func(value, query string, want bool) matchRow {
		return matchRow{"Observation", `"valueQuantity":` + value, "value-quantity=" + query, want}
	}
	mg := `{"value":5.40,"unit":"milligrams","system":"http://unitsofmeasure.org","code":"mg"}`
	prob := func(value, query string, want bool) matchRow {
		return matchRow{"RiskAssessment", `"prediction":[` + value + `]`, "probability=" + query, want}
	}
	runMatches(t, []matchRow{
		// eq has the precision it is written in (R4 search 3.1.1.4.8).
		q(`{"value":100}`, "100", true), q(`{"value":100.4}`, "100", true), q(`{"value":99.5}`, "100", true), q(`{"value":100.5}`, "100", false),
		q(`{"value":100.4}`, "100.00", false), q(`{"value":100.004}`, "100.00", true), q(`{"value":95}`, "1e2", true), q(`{"value":105}`, "1e2", false),
		q(`{"value":104.9}`, "1e2", true), q(`{"value":1e2}`, "100", true), q(`{"value":-5}`, "-5", true), q(`{"value":5}`, "+5", true),
		q(`{"value":100.4}`, "ne100", false), q(`{"value":101}`, "ne100", true),
		// The others are exact.
		q(`{"value":100.4}`, "gt100", true), q(`{"value":100}`, "gt100", false), q(`{"value":100}`, "ge100", true), q(`{"value":99.999}`, "lt100", true),
		q(`{"value":100}`, "le100", true), q(`{"value":100}`, "lt100", false), q(`{"value":100.1}`, "sa100", true), q(`{"value":100}`, "sa100", false),
		q(`{"value":99}`, "eb100", true), q(`{"value":109}`, "ap100", true), q(`{"value":111}`, "ap100", false), q(`{"value":91}`, "ap100", true),
		q(`{"value":0.1}`, "le0.1", true), q(`{"value":0.30000000000000001}`, "gt0.3", true), // no floating point
		q(mg, "5.4", true), q(mg, "5.4||mg", true), q(mg, "5.4||milligrams", true), q(mg, "5.4||MG", false), q(mg, "5.4||g", false),
		q(mg, "5.4|http://unitsofmeasure.org|mg", true), q(mg, "5.4|http://unitsofmeasure.org|milligrams", false), q(mg, "5.4|http://other|mg", false),
		q(mg, "gt5|http://unitsofmeasure.org|mg", true), q(mg, "1,5.4", true), q(mg, "lt5,gt6", false),
		// A comparator makes a range.
		q(`{"value":5,"comparator":"<"}`, "lt5", true), q(`{"value":5,"comparator":"<"}`, "ge5", false), q(`{"value":5,"comparator":"<"}`, "le1", true),
		q(`{"value":5,"comparator":">"}`, "gt5", true), q(`{"value":5,"comparator":">"}`, "le5", false), q(`{"value":5,"comparator":">="}`, "le5", true),
		q(`{"value":5,"comparator":">"}`, "5", false), q(`{"value":5,"comparator":">"}`, "sa5", true), q(`{"value":5,"comparator":"<="}`, "ge5", true),
		q(`{"unit":"mg"}`, "gt0", false), // no value at all
		{"Observation", `"valueSampledData":{"lowerLimit":1,"data":"1 2"}`, "value-quantity=1", false},
		{"Observation", `"component":[{"valueQuantity":{"value":1}},{"valueQuantity":{"value":7}}]`, "component-value-quantity=gt5", true},
		{"Condition", `"onsetAge":{"value":50,"code":"a","system":"http://unitsofmeasure.org"}`, "onset-age=gt49", true},
		{"Condition", `"onsetRange":{"low":{"value":40,"code":"a"},"high":{"value":50,"code":"a"}}`, "onset-age=gt45", true},
		{"Condition", `"onsetRange":{"low":{"value":40,"code":"a"},"high":{"value":50,"code":"a"}}`, "onset-age=45", false},
		{"Condition", `"onsetRange":{"low":{"value":40,"code":"a"}}`, "onset-age=gt99||a", true},
		{"Condition", `"onsetRange":{"low":{"value":40,"code":"a"}}`, "onset-age=gt99||mo", false},
		{"Invoice", `"totalNet":{"value":12.50,"currency":"EUR"}`, "totalnet=12.5|urn:iso:std:iso:4217|EUR", true},
		{"Invoice", `"totalNet":{"value":12.50,"currency":"EUR"}`, "totalnet=12.5||USD", false},
		prob(`{"probabilityDecimal":0.5}`, "gt0.4", true), prob(`{"probabilityDecimal":0.5}`, "0.50", true), prob(`{"probabilityDecimal":0.5}`, "lt0.5", false),
	})
}

func TestMatchReferences(t *testing.T) {
	subject := func(reference, query string, want bool) matchRow {
		return matchRow{"Observation", `"subject":{"reference":"` + reference + `"}`, query, want}
	}
	const here, there = "https://ehr.example/fhir/", "https://elsewhere.example/fhir/"
	runMatches(t, []matchRow{
		subject("Patient/1", "subject=1", true), subject("Patient/1", "subject=Patient/1", true), subject("Patient/1", "patient=1", true),
		subject("Patient/1", "subject=2", false), subject("Patient/11", "subject=1", false), subject("Group/1", "subject=1", true),
		subject("Group/1", "subject=Patient/1", false), subject("Group/1", "patient=1", false), subject("Group/1", "subject:Group=1", true),
		subject("Group/1", "subject:Patient=1", false), subject("Patient/1", "subject:Patient=Patient/1", true),
		subject(here+"Patient/1", "subject=1", true), subject(here+"Patient/1", "patient=Patient/1", true), subject("Patient/1", "subject="+here+"Patient/1", true),
		subject(here+"Patient/1", "subject="+here+"Patient/1", true), subject("Patient/1/_history/3", "subject=Patient/1", true),
		// Elsewhere is not here, however it ends.
		subject(there+"Patient/1", "subject=1", false), subject(there+"Patient/1", "patient=Patient/1", false),
		subject(there+"Patient/1", "subject="+there+"Patient/1", true), subject("Patient/1", "subject="+there+"Patient/1", false),
		subject("https://ehr.example/fhir2/Patient/1", "subject=1", false), subject("https://ehr.example.evil/fhir/Patient/1", "subject=1", false),
		subject("urn:uuid:1", "subject=1", false), subject("#1", "subject=1", false), subject("Patient?identifier=1", "subject=1", false),
		subject("", "subject=1", false), subject("Patient/1/x", "subject=1", false), subject("patient/1", "subject=1", false),
		{"Observation", `"subject":{"identifier":{"system":"s","value":"1"},"type":"Patient"}`, "subject=1", false},
		{"Observation", `"subject":{"identifier":{"system":"s","value":"1"}}`, "subject:identifier=s|1", true},
		{"Observation", `"subject":{"identifier":{"system":"s","value":"1"}}`, "subject:identifier=t|1", false},
		{"Observation", `"subject":{"display":"x"}`, "subject:missing=false", true}, {"Observation", "", "subject:missing=true", true},
		{"Observation", `"performer":[{"reference":"Practitioner/1"},{"reference":"Patient/2"}]`, "performer=Patient/2", true},
		{"Appointment", `"participant":[{"actor":{"reference":"Practitioner/1"}},{"actor":{"reference":"Patient/2"}}]`, "practitioner=1", true},
		{"Appointment", `"participant":[{"actor":{"reference":"Practitioner/1"}},{"actor":{"reference":"Patient/2"}}]`, "patient=1", false},
		{"MedicationRequest", `"medicationReference":{"reference":"Medication/1"}`, "medication=1", true},
		{"Provenance", `"target":[{"reference":"Observation/1"},{"reference":"Condition/2"}]`, "target=Condition/2", true},
		{"QuestionnaireResponse", `"questionnaire":"http://x.example/Questionnaire/1|2.0"`, "questionnaire=http://x.example/Questionnaire/1", true},
		{"QuestionnaireResponse", `"questionnaire":"http://x.example/Questionnaire/1|2.0"`, "questionnaire=http://x.example/Questionnaire/1|2.0", true},
		{"QuestionnaireResponse", `"questionnaire":"http://x.example/Questionnaire/1|2.0"`, "questionnaire=http://x.example/Questionnaire/1|2.1", false},
		{"QuestionnaireResponse", `"questionnaire":"http://x.example/Questionnaire/1|2.0"`, `questionnaire=http://x.example/Questionnaire/1\|2.0`, true},
		{"QuestionnaireResponse", `"questionnaire":"http://x.example/Questionnaire/1"`, "questionnaire=http://x.example/Questionnaire/11", false},
		{"QuestionnaireResponse", `"questionnaire":"Questionnaire/1"`, "questionnaire=1", true},
	})
}

func TestMatchURIs(t *testing.T) {
	url := func(query string, want bool) matchRow {
		return matchRow{"ValueSet", `"url":"http://x.example/fhir/ValueSet/1"`, query, want}
	}
	runMatches(t, []matchRow{
		url("url=http://x.example/fhir/ValueSet/1", true), url("url=http://x.example/fhir/valueset/1", false), url("url=http://x.example/fhir/ValueSet", false),
		url("url:below=http://x.example/fhir", true), url("url:below=http://x.example/fhir/", true), url("url:below=http://x.example/fh", false),
		url("url:above=http://x.example/fhir/ValueSet/1/_history/5", true), url("url:above=http://x.example/fhir/ValueSet/12", false), url("url:missing=false", true),
		{"Patient", `"meta":{"profile":["http://p.example/a","http://p.example/b"]}`, "_profile=http://p.example/b", true},
		{"Patient", `"meta":{"source":"urn:x"}`, "_source=urn:x", true},
	})
}

func TestMatchComposites(t *testing.T) {
	pressure := `"code":{"coding":[{"code":"panel"}]},"component":[
		{"code":{"coding":[{"code":"sys"}]},"valueQuantity":{"value":140}},{"code":{"coding":[{"code":"dia"}]},"valueQuantity":{"value":90}}]`
	c := func(query string, want bool) matchRow { return matchRow{"Observation", pressure, query, want} }
	runMatches(t, []matchRow{
		c("component-code-value-quantity=sys$gt130", true), c("component-code-value-quantity=dia$gt130", false), // not across components
		c("component-code-value-quantity=dia$gt130,sys$140", true), c("combo-code-value-quantity=dia$90", true), c("code-value-quantity=panel$90", false),
		{"Observation", `"code":{"coding":[{"system":"s","code":"c"}]},"valueQuantity":{"value":5,"code":"mg"}`, "code-value-quantity=s|c$5||mg", true},
		{"Observation", `"code":{"coding":[{"code":"c"}]},"valueDateTime":"2020-05"`, "code-value-date=c$ge2020", true},
		{"Observation", `"code":{"coding":[{"code":"c$d"}]},"valueString":"x"`, `code-value-string=c\$d$x`, true},
		{"DocumentReference", `"relatesTo":[{"code":"replaces","target":{"reference":"DocumentReference/1"}},{"code":"signs","target":{"reference":"DocumentReference/2"}}]`,
			"relationship=replaces$DocumentReference/1", true},
		{"DocumentReference", `"relatesTo":[{"code":"replaces","target":{"reference":"DocumentReference/1"}},{"code":"signs","target":{"reference":"DocumentReference/2"}}]`,
			"relationship=replaces$DocumentReference/2", false},
		{"MolecularSequence", `"referenceSeq":{"chromosome":{"coding":[{"code":"1"}]},"windowStart":5,"windowEnd":9},"variant":[{"start":6,"end":7}]`,
			"chromosome-variant-coordinate=1$ge6$lt8", true},
		{"MolecularSequence", `"referenceSeq":{"chromosome":{"coding":[{"code":"1"}]},"windowStart":5,"windowEnd":9},"variant":[{"start":6,"end":7}]`,
			"chromosome-window-coordinate=2$5$9", false},
	})
}

func TestAnotherTypeNeverMatches(t *testing.T) {
	q, err := trusted("Observation", "")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := matcher(t).Match(q, resource(t, `{"resourceType":"Condition"}`)); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	q, err = trusted("Observation", "patient:missing=true")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := matcher(t).MatchParam(q.Params[0], resource(t, `{"resourceType":"Condition"}`)); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestWhatCannotBeDecidedIsAnError(t *testing.T) {
	m := matcher(t)
	rows := []matchRow{
		{"Observation", `"effectiveDateTime":"yesterday"`, "date=gt2020", false},
		{"Observation", `"effectiveDateTime":"2020-02-30"`, "date=ne2020", false},
		{"Observation", `"effectivePeriod":{"start":"2020","end":"never"}`, "date=gt2020", false},
		{"Observation", `"effectiveDateTime":{"value":"2020"}`, "date=gt2020", false},
		{"Observation", `"effectiveDateTime":2020`, "date=gt2019", false}, // a number that reads as a year
		{"Observation", `"valueQuantity":{"value":"5"}`, "value-quantity=gt1", false},
		{"Observation", `"valueQuantity":{"value":"much"}`, "value-quantity=gt1", false},
		{"Observation", `"valueQuantity":{"value":1e400000000}`, "value-quantity=gt1", false},
		{"Observation", `"valueQuantity":{"value":1,"comparator":"~"}`, "value-quantity=gt1", false},
		{"CodeSystem", `"concept":[{"code":"x"}]`, "code=http://x.example|x", false},
	}
	for _, row := range rows {
		q, err := trusted(row.typ, escaped(row.query))
		if err != nil {
			t.Errorf("%s: %v", row.query, err)
			continue
		}
		ok, err := m.Match(q, resource(t, `{"resourceType":"`+row.typ+`",`+row.members+`}`))
		if ok || err == nil {
			t.Errorf("%s on %s: %v, %v", row.query, row.members, ok, err)
		}
		if err != nil && strings.Contains(err.Error(), "yesterday") {
			t.Errorf("the error repeats the record: %v", err)
		}
	}
	// One value that matches decides, whatever the others are.
	q, _ := trusted("Provenance", "target=Observation/1")
	if ok, err := m.Match(q, resource(t, `{"resourceType":"Provenance","target":[{"reference":"urn:x"},{"reference":"Observation/1"}]}`)); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	// One filter that fails decides too.
	q, _ = trusted("Observation", "date=gt2020&status=final")
	if ok, err := m.Match(q, resource(t, `{"resourceType":"Observation","effectiveDateTime":"?","status":"amended"}`)); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestFiltersThatNobodyParsedAreErrors(t *testing.T) {
	r := resource(t, `{"resourceType":"Observation","id":"a"}`)
	code, _ := search.Lookup("Observation", "code")
	composite, _ := search.Lookup("Observation", "code-value-date")
	reference, _ := search.Lookup("Observation", "subject")
	date, _ := search.Lookup("Observation", "date")
	for name, p := range map[string]search.Param{
		"no definition":         {Values: []string{"x"}},
		"an invented parameter": {Definition: search.Definition{Type: "Observation", Name: "mood", Kind: search.Token, Expression: "Observation.mood"}, Values: []string{"x"}},
		"no values":             {Definition: code},
		"an empty value":        {Definition: code, Values: []string{""}},
		"a broken escape":       {Definition: code, Values: []string{`\`}},
		"an unknown modifier":   {Definition: code, Modifier: "in", Values: []string{"x"}},
		"a bad missing":         {Definition: code, Modifier: "missing", Values: []string{"yes"}},
		"missing twice":         {Definition: code, Modifier: "missing", Values: []string{"true", "false"}},
		"missing composite":     {Definition: composite, Modifier: "missing", Values: []string{"true"}},
		"a type as modifier":    {Definition: reference, Modifier: "Practitioner", Values: []string{"1"}},
		"no type as modifier":   {Definition: reference, Modifier: "exact", Values: []string{"1"}},
		"a modifier of dates":   {Definition: date, Modifier: "not", Values: []string{"2020"}},
		"a modifier of a part":  {Definition: composite, Modifier: "not", Values: []string{"a$2020"}},
	} {
		ok, err := matcher(t).MatchParam(p, r)
		var refused *search.Error
		if ok || !errors.As(err, &refused) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	near := search.Param{Definition: search.Definition{Type: "Location", Name: "near"}, Modifier: "missing", Values: []string{"true"}}
	if ok, err := matcher(t).MatchParam(near, resource(t, `{"resourceType":"Location"}`)); ok || err == nil {
		t.Errorf("near: %v, %v", ok, err)
	}
	approximately := search.Param{Definition: date, Values: []string{"ap2020"}}
	if ok, err := (search.Matcher{}).MatchParam(approximately, r); ok || err == nil {
		t.Errorf("ap without a clock: %v, %v", ok, err)
	}
}

func BenchmarkMatch(b *testing.B) {
	r, err := fhir.ParseResource([]byte(`{"resourceType":"Observation","id":"o1","status":"final","category":[{"coding":[{"system":"s","code":"laboratory"}]}],
		"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},"subject":{"reference":"Patient/1"},"effectiveDateTime":"2024-05-01T10:00:00Z"}`))
	if err != nil {
		b.Fatal(err)
	}
	q, err := trusted("Observation", "patient=1&category=laboratory&date=ge2024")
	if err != nil {
		b.Fatal(err)
	}
	f, err := search.Matcher{Now: now}.Compile(q)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := f.Match(r); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
