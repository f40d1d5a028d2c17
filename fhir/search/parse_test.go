package search_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
)

// parse reads a query as an app's, strictly.
func parse(typ, query string) (search.Query, error) {
	return parseWith(typ, query, search.Options{Strict: true, MaxCount: 1000})
}

func parseWith(typ, query string, o search.Options) (search.Query, error) {
	pairs, err := search.ParsePairs(query)
	if err != nil {
		return search.Query{}, err
	}
	return search.Parse(typ, pairs, o)
}

func trusted(typ, query string) (search.Query, error) {
	return parseWith(typ, query, search.Options{Strict: true, Trusted: true})
}

func TestWhatAppsMayNotAsk(t *testing.T) {
	rows := []struct{ name, typ, query string }{
		{"reverse chain", "Patient", "_has:Observation:patient:code=1234-5"},
		{"reverse chain, nested", "Patient", "_has:Observation:patient:_has:AuditEvent:entity:agent=x"},
		{"reverse chain without a path", "Patient", "_has=x"},
		{"chain", "Observation", "patient.name=Smith"},
		{"typed chain", "Observation", "patient:Patient.name=Smith"},
		{"chain over another reference", "Observation", "encounter.patient=1"},
		{"chain, escaped dot", "Observation", "patient%2Ename=Smith"},
		{"chain to an identifier", "Observation", "patient.identifier=x"},
		{"_filter", "Observation", `_filter=patient%20eq%201`},
		{"_query", "Observation", "_query=everything"},
		{"_text", "Observation", "_text=x"},
		{"_content", "Observation", "_content=x"},
		{"_list", "Observation", "_list=1"},
		{"_contained", "Observation", "_contained=both"},
		{"_containedType", "Observation", "_containedType=container"},
		{"_type", "Observation", "_type=Patient"},
		{"_filter with a modifier", "Observation", "_filter:exact=x"},
		{"an unknown control parameter", "Observation", "_getpages=abc"},
		{"a control parameter in capitals", "Observation", "_Include=Observation:subject"},
		{"patient twice", "Observation", "patient=A&patient=B"},
		{"patient twice, the same", "Observation", "patient=A&patient=A"},
		{"patient twice, one escaped", "Observation", "patient=A&%70atient=B"},
		{"patient as a list", "Observation", "patient=A,B"},
		{"patient as an escaped list", "Observation", "patient=A%2CB"},
		{"patient and subject", "Observation", "patient=A&subject=Patient/B"},
		{"subject of Encounter, which the compartment forgets, and patient", "Encounter", "patient=A&subject=Patient/B"},
		{"actor list of mixed types", "Appointment", "actor=Patient/A,Practitioner/B"},
		{"actor and patient", "Appointment", "actor=Patient/A&patient=B"},
		{"patient in capitals", "Observation", "PATIENT=A"},
		{"patient with an empty value", "Observation", "patient="},
		{"patient without a value", "Observation", "patient"},
		{"a list that ends in nothing", "Observation", "patient=A,"},
		{"patient:missing", "Observation", "patient:missing=true"},
		{"subject:missing", "Observation", "subject:missing=true"},
		{"subject:missing of Encounter", "Encounter", "subject:missing=true"},
		{"patient:Patient", "Observation", "patient:Patient=A"},
		{"subject:Patient", "Observation", "subject:Patient=A"},
		{"patient:identifier", "Observation", "patient:identifier=x"},
		{"patient:not", "Observation", "patient:not=A"},
		{"patient:above", "Observation", "patient:above=A"},
		{"patient:in", "Observation", "patient:in=A"},
		{"patient:exact", "Observation", "patient:exact=A"},
		{"patient with an empty modifier", "Observation", "patient:=A"},
		{"patient with two modifiers", "Observation", "patient:Patient:exact=A"},
		{"another type's reference in patient", "Observation", "patient=Practitioner/A"},
		{"absolute patient", "Observation", "patient=https://elsewhere.example/Patient/A"},
		{"urn patient", "Observation", "patient=urn:uuid:5"},
		{"versioned patient", "Observation", "patient=Patient/A/_history/1"},
		{"patient with a slash at the end", "Observation", "patient=Patient/A/"},
		{"patient with dots", "Observation", "patient=Patient/../Patient/B"},
		{"patient with an escaped slash in the id", "Observation", "patient=Patient/A%252FB"},
		{"patient with a query", "Observation", "patient=Patient/A%3Fx"},
		{"patient with a fragment", "Observation", "patient=%23A"},
		{"patient with a blank", "Observation", "patient=+A"},
		{"patient with an escaped comma", "Observation", `patient=A\,B`},
		{"patient with a pipe", "Observation", "patient=sys|A"},
		{"another reference with :identifier", "Observation", "encounter:identifier=x"},
		{"another reference, absolute", "Observation", "encounter=https://elsewhere.example/Encounter/1"},
		{"two ids of Patient", "Patient", "_id=A,B"},
		{"_id of Patient twice", "Patient", "_id=A&_id=B"},
		{"token:in", "Observation", "code:in=http://x"},
		{"token:not-in", "Observation", "code:not-in=http://x"},
		{"token:above", "Observation", "code:above=http://x|1"},
		{"token:below", "Observation", "code:below=http://x|1"},
		{"token:exact", "Observation", "code:exact=1"},
		{"date:exact", "Observation", "date:exact=2020"},
		{"two systems", "Observation", "code=a|b|c"},
		{"only a pipe", "Observation", "code=|"},
		{"a broken escape", "Observation", `code=a\b`},
		{"an escape of nothing", "Observation", `code=a\`},
		{"a bad date", "Observation", "date=2020-13"},
		{"a date with an unescaped plus", "Observation", "date=2020-01-01T00:00:00+05:00"},
		{"a prefix alone", "Observation", "date=gt"},
		{"an unknown prefix", "Observation", "date=xx2020"},
		{"a number that would not fit", "Observation", "value-quantity=1e999999999"},
		{"a composite with too few parts", "Observation", "code-value-quantity=1234-5"},
		{"a composite with an empty part", "Observation", "code-value-quantity=1234-5$"},
		{"a composite with :missing", "Observation", "code-value-quantity:missing=true"},
		{":missing of something else", "Observation", "code:missing=maybe"},
		{"geometry", "Location", "near=42.2|-83.6|11|km"},
		{"sound", "Patient", "phonetic=smith"},
		{"include of everything", "Observation", "_include=*"},
		{"include of everything of a type", "Observation", "_include=Observation:*"},
		{"include from another type", "Observation", "_include=Encounter:subject"},
		{"include of what is no reference", "Observation", "_include=Observation:code"},
		{"include of another target", "Observation", "_include=Observation:encounter:Patient"},
		{"include:iterate of a patient's data", "MedicationRequest", "_include:iterate=Observation:subject"},
		{"include:iterate of what is included once", "MedicationRequest", "_include:iterate=MedicationRequest:medication"},
		{"include:iterate of everything", "MedicationRequest", "_include:iterate=*"},
		{"include:recurse", "Observation", "_include:recurse=Observation:subject"},
		{"include with a list", "Observation", "_include=Observation:subject,Observation:encounter"},
		{"revinclude of everything", "Patient", "_revinclude=*"},
		{"revinclude of the patient's data", "Patient", "_revinclude=Observation:subject"},
		{"revinclude of the patient's data, with a target", "Patient", "_revinclude=Observation:subject:Patient"},
		{"revinclude:iterate", "Observation", "_revinclude:iterate=Provenance:target"},
		{"revinclude of an unlisted pair", "Condition", "_revinclude=Observation:focus"},
		{"revinclude with another target", "Observation", "_revinclude=Provenance:target:Patient"},
		{"sort by nothing known", "Observation", "_sort=secret"},
		{"sort by a chain", "Observation", "_sort=patient.name"},
		{"sort with a modifier", "Observation", "_sort:asc=date"},
		{"negative count", "Observation", "_count=-1"},
		{"count in words", "Observation", "_count=many"},
		{"count twice", "Observation", "_count=1&_count=2"},
		{"elements below the top", "Observation", "_elements=subject.reference"},
		{"elements of everything", "Observation", "_elements=*"},
		{"unknown summary", "Observation", "_summary=all"},
		{"unknown total", "Observation", "_total=yes"},
		{"XML", "Observation", "_format=xml"},
		{"HTML", "Observation", "_format=text/html"},
		{"XML by its media type", "Observation", "_format=application/fhir%2Bxml"},
		{"a semicolon between parameters", "Observation", "code=1;patient=B"},
		{"a semicolon at the end", "Observation", "code=1;"},
		{"NUL", "Observation", "patient=A%00B"},
		{"NUL in a name", "Observation", "patient%00=A"},
		{"a line break", "Observation", "patient=A%0d%0aB"},
		{"bad UTF-8", "Observation", "code=%ff"},
		{"overlong UTF-8", "Observation", "code=%c0%af"},
		{"a broken escape of a byte", "Observation", "code=%zz"},
		{"a cut escape of a byte", "Observation", "code=%4"},
		{"no name", "Observation", "=A"},
		{"a name with a blank", "Observation", "patient%20=A"},
		{"a name with a slash", "Observation", "patient/x=A"},
		{"a name with brackets", "Observation", "patient[]=A"},
		{"a name with a quote", "Observation", "patient'=A"},
		{"a name in other letters that look the same", "Observation", "p%D0%B0tient=A"},
		{"a very long name", "Observation", strings.Repeat("a", 200) + "=1"},
		{"a very long value", "Observation", "code=" + strings.Repeat("a", 17<<10)},
		{"a very long query", "Observation", strings.Repeat("code=aaaaaaaaaaaaaaaaaaaaaaaaa&", 3000)},
		{"too many parameters", "Observation", strings.Repeat("code=a&", 129)},
		{"too many alternatives", "Observation", "code=" + strings.Repeat("a,", 600) + "a"},
		{"a type that is none", "Everything", "code=1"},
		{"a type in lower case", "observation", "code=1"},
		{"an abstract type", "Resource", "_id=1"},
		{"an empty type", "", "_id=1"},
	}
	for _, row := range rows {
		for _, strict := range []bool{true, false} {
			q, err := parseWith(row.typ, row.query, search.Options{Strict: strict})
			if err == nil {
				t.Errorf("%s (strict %v): allowed as %q", row.name, strict, q.Encode())
			}
			var refused *search.Error
			if err != nil && !errors.As(err, &refused) {
				t.Errorf("%s: the error is a %T", row.name, err)
			}
		}
	}
}

func TestErrorsNameParametersNeverValues(t *testing.T) {
	const secret = "Zebra77"
	for _, query := range []string{
		"patient=" + secret + ",B", "patient:Patient.name=" + secret, "code=a|b|" + secret, "date=" + secret, "_filter=" + secret,
		"_sort=" + secret, "_count=" + secret, "_include=" + secret, "_revinclude=" + secret + ":target", "_elements=" + secret + ".x",
		"_format=" + secret, "unknown=" + secret, "value-quantity=" + secret, "encounter=" + secret + "/1/2", "code=%zz" + secret,
		"code=" + secret + "%00", "code=" + secret + ";x", secret + "%20" + secret + "=1", "code-value-quantity=" + secret,
		"code:missing=" + secret, "subject=" + secret + "/1",
	} {
		_, err := parse("Observation", query)
		if err == nil {
			t.Errorf("%q is allowed", query)
			continue
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error repeats a value: %v", err)
		}
	}
}

func TestUnknownParametersAreErrorsOrNamed(t *testing.T) {
	var refused *search.Error
	if _, err := parse("Observation", "patient=A&colour=red"); !errors.As(err, &refused) || !refused.Unknown || refused.Param != "colour" {
		t.Errorf("strict: %v", err)
	}
	q, err := parseWith("Observation", "patient=A&colour=red&colour=blue&shape:round=1", search.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"colour", "shape:round"}, q.Ignored); diff != "" {
		t.Error(diff)
	}
	if got := q.Encode(); got != "patient=A" {
		t.Errorf("what was ignored is printed: %q", got)
	}
}

func TestWhatAppsMayAsk(t *testing.T) {
	rows := []struct{ typ, query, want string }{
		{"Observation", "", ""},
		{"Observation", "patient=A", "patient=A"},
		{"Observation", "%70atient=A", "patient=A"},
		{"Observation", "p%61tient=%41", "patient=A"},
		{"Observation", "patient=Patient/A", "patient=Patient/A"},
		{"Observation", "patient=Patient%2FA", "patient=Patient/A"},
		{"Observation", "&patient=A&", "patient=A"},
		{"Observation", "subject=Patient/A&performer=Practitioner/B", "performer=Practitioner/B&subject=Patient/A"},
		{"Observation", "status=final,amended&category=laboratory&patient=A", "category=laboratory&patient=A&status=final,amended"},
		{"Observation", "code=http://loinc.org|8480-6", "code=http://loinc.org%7C8480-6"},
		{"Observation", "code=|8480-6,http://loinc.org|", "code=%7C8480-6,http://loinc.org%7C"},
		{"Observation", "date=ge2020&date=lt2021-02", "date=ge2020&date=lt2021-02"},
		{"Observation", "date=2020-01-01T10:00:00%2B05:00", "date=2020-01-01T10:00:00%2B05:00"},
		{"Observation", "code:not=x&code:text=glucose", "code:not=x&code:text=glucose"},
		{"Observation", "encounter:missing=true", "encounter:missing=true"},
		{"Observation", "encounter:Encounter=5", "encounter:Encounter=5"},
		{"Observation", "code-value-quantity=8480-6$gt5.4||mg", "code-value-quantity=8480-6%24gt5.4%7C%7Cmg"},
		{"Observation", "_lastUpdated=gt2020&_id=a,b", "_id=a,b&_lastUpdated=gt2020"},
		{"Observation", "_sort=-date,code&_count=20&_total=none&_summary=data&_elements=code,subject",
			"_sort=-date,code&_count=20&_elements=code,subject&_summary=data&_total=none"},
		{"Observation", "_count=0", "_count=0"},
		{"Observation", "_count=100000", "_count=1000"},
		{"Observation", "_format=json&_pretty=true", ""},
		{"Observation", "_format=application/fhir+json", ""},
		{"Observation", "_format=application/fhir%2Bjson%3B%20fhirVersion=4.0", ""},
		{"Observation", "_include=Observation:subject&_include=Observation:encounter:Encounter", "_include=Observation:subject&_include=Observation:encounter:Encounter"},
		{"Observation", "_revinclude=Provenance:target&_revinclude=Provenance:target", "_revinclude=Provenance:target"},
		{"MedicationRequest", "_include=MedicationRequest:medication&_include:iterate=Medication:manufacturer",
			"_include=MedicationRequest:medication&_include:iterate=Medication:manufacturer"},
		{"Patient", "name=Sm%C3%AFth&birthdate=1970-01-01&_id=A", "_id=A&birthdate=1970-01-01&name=Sm%C3%AFth"},
		{"Patient", "name=Smith+Jones", "name=Smith%20Jones"},
		{"Patient", `name=a\,b,c`, `name=a%5C,b,c`},
		{"Patient", "race=urn:oid:2.16.840.1.113883.6.238|2106-3", "race=urn:oid:2.16.840.1.113883.6.238%7C2106-3"},
		{"Appointment", "actor=Practitioner/7&date=ge2024", "actor=Practitioner/7&date=ge2024"},
		{"Condition", "asserted-date=ge2020&patient=A", "asserted-date=ge2020&patient=A"},
		{"Encounter", "discharge-disposition=home&patient=A", "discharge-disposition=home&patient=A"},
		{"QuestionnaireResponse", "questionnaire=http://x.example/Questionnaire/1|2.0", "questionnaire=http://x.example/Questionnaire/1%7C2.0"},
		{"ValueSet", "url:below=http://x.example/fhir/", "url:below=http://x.example/fhir/"},
		{"Practitioner", "identifier:of-type=http://x|NPI|123", "identifier:of-type=http://x%7CNPI%7C123"},
		{"Binary", "_id=a", "_id=a"},
	}
	for _, row := range rows {
		q, err := parse(row.typ, row.query)
		if err != nil {
			t.Errorf("%s?%s: %v", row.typ, row.query, err)
			continue
		}
		if got := q.Encode(); got != row.want {
			t.Errorf("%s?%s\n got %s\nwant %s", row.typ, row.query, got, row.want)
		}
	}
}

func TestAbsoluteReferencesOnTheOwnBaseAreRelative(t *testing.T) {
	base, err := fhir.ParseBase("https://portico.example/fhir/demo")
	if err != nil {
		t.Fatal(err)
	}
	o := search.Options{Strict: true, Base: base}
	q, err := parseWith("Observation", "patient=https://portico.example/fhir/demo/Patient/A", o)
	if err != nil || q.Encode() != "patient=Patient/A" {
		t.Errorf("%q, %v", q.Encode(), err)
	}
	for _, value := range []string{
		"https://portico.example/fhir/demo2/Patient/A", "https://portico.example.evil/fhir/demo/Patient/A",
		"http://portico.example/fhir/demo/Patient/A", "https://portico.example/fhir/demo/Patient/A?x=1",
		"https://portico.example/fhir/demo/Practitioner/A", "https://portico.example/fhir/demo/Patient/A/_history/2",
	} {
		if _, err := parseWith("Observation", "patient="+strings.ReplaceAll(value, "?", "%3F"), o); err == nil {
			t.Errorf("%s is allowed", value)
		}
	}
}

func TestTrustedCallersMayAskMore(t *testing.T) {
	for _, row := range []struct{ typ, query string }{
		{"Observation", "patient=A,B"}, {"Observation", "patient=A&patient=B"}, {"Observation", "patient=A&subject=Patient/A"},
		{"Observation", "subject:Patient=A"}, {"Observation", "subject:missing=true"}, {"Observation", "subject:identifier=s|v"},
		{"Observation", "subject=https://elsewhere.example/Patient/1"}, {"Patient", "_id=A,B"},
		{"Patient", "_revinclude=Observation:subject"}, {"Observation", "_include:iterate=Encounter:location"},
	} {
		if _, err := trusted(row.typ, row.query); err != nil {
			t.Errorf("%s?%s: %v", row.typ, row.query, err)
		}
	}
	for _, row := range []struct{ typ, query string }{
		{"Patient", "_has:Observation:patient:code=1"}, {"Observation", "patient.name=x"}, {"Observation", "_filter=x"},
		{"Observation", "code:in=http://x"}, {"Location", "near=1|2"}, {"Observation", "_include=*"}, {"Observation", "patient="},
		{"Patient", "_revinclude=Observation:encounter"},
	} {
		if q, err := trusted(row.typ, row.query); err == nil {
			t.Errorf("%s?%s is allowed as %s, but nothing can evaluate it", row.typ, row.query, q.Encode())
		}
	}
}
