package search_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
)

func resource(t *testing.T, json string) *fhir.Resource {
	t.Helper()
	r, err := fhir.ParseResource([]byte(json))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestValues(t *testing.T) {
	patient := `{"resourceType":"Patient","id":"a","meta":{"tag":[{"code":"t"}],"lastUpdated":"2020-01-01T00:00:00Z","profile":["p1","p2"]},
		"deceasedDateTime":"2021","telecom":[{"system":"phone","value":"1"},{"system":"email","value":"2"},{"value":"3"}],
		"name":[{"family":"F","given":["G",null,"H"],"_given":[null,{"extension":[]},null]},{"family":"I"}],
		"extension":[{"url":"http://hl7.org/fhir/us/core/StructureDefinition/us-core-race","extension":[
			{"url":"ombCategory","valueCoding":{"code":"2106-3"}},{"url":"text","valueString":"White"}]},
			{"url":"http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity","extension":[{"url":"ombCategory","valueCoding":{"code":"2135-2"}}]}]}`
	appointment := `{"resourceType":"Appointment","contained":[{"resourceType":"Patient","id":"in"}],"participant":[
		{"actor":{"reference":"Patient/1"}},{"actor":{"reference":"Practitioner/2"}},{"actor":{"reference":"https://x.example/fhir/Patient/3/_history/1"}},
		{"actor":{"type":"Patient","identifier":{"value":"4"}}},{"actor":{"reference":"#in"}},{"actor":{"reference":"#out"}},
		{"actor":{"display":"somebody"}},{"actor":{"reference":"urn:uuid:5","type":"Patient"}},{"actor":{"reference":"Group/6"}}]}`
	observation := `{"resourceType":"Observation","effectivePeriod":{"start":"2020"},"valueQuantity":{"value":1},"valueString":"s",
		"component":[{"valueQuantity":{"value":2}},{"valueSampledData":{"data":"1 2"}},{"valueString":"x"}],
		"valueCodeableConcept":{"text":"words","coding":[{"code":"c"}]}}`
	rows := []struct {
		resource, name string
		want           []string
	}{
		{patient, "_id", []string{`"a"`}},
		{patient, "_tag", []string{`{"code":"t"}`}},
		{patient, "_profile", []string{`"p1"`, `"p2"`}},
		{patient, "_source", nil},
		{patient, "given", []string{`"G"`, `"H"`}},
		{patient, "family", []string{`"F"`, `"I"`}},
		{patient, "birthdate", nil},
		{patient, "phone", []string{`{"system":"phone","value":"1"}`}},
		{patient, "death-date", []string{`"2021"`}},
		{patient, "deceased", []string{`"2021"`}},
		{patient, "race", []string{`{"code":"2106-3"}`}},
		{patient, "ethnicity", []string{`{"code":"2135-2"}`}},
		{patient, "gender-identity", nil},
		{patient, "no-such-parameter", nil},
		{appointment, "practitioner", []string{`{"reference":"Practitioner/2"}`}},
		{appointment, "location", nil},
		{appointment, "patient", []string{`{"reference":"Patient/1"}`, `{"reference":"https://x.example/fhir/Patient/3/_history/1"}`,
			`{"type":"Patient","identifier":{"value":"4"}}`, `{"reference":"#in"}`, `{"reference":"urn:uuid:5","type":"Patient"}`}},
		{observation, "date", []string{`{"start":"2020"}`}},
		{observation, "value-quantity", []string{`{"value":1}`}},
		{observation, "combo-value-quantity", []string{`{"value":1}`, `{"value":2}`, `{"data":"1 2"}`}},
		{observation, "value-string", []string{`"s"`, `"words"`}},
		{observation, "value-date", nil},
	}
	for _, row := range rows {
		r := resource(t, row.resource)
		d, ok := search.Lookup(r.Type(), row.name)
		if !ok {
			d = search.Definition{Type: r.Type(), Name: row.name}
		}
		var got []string
		for v := range d.Values(r) {
			got = append(got, string(v.Raw()))
		}
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%s.%s (-want +got)\n%s", r.Type(), row.name, diff)
		}
	}
}

func TestValuesOfAnotherType(t *testing.T) {
	d, _ := search.Lookup("Observation", "subject")
	for range d.Values(resource(t, `{"resourceType":"Condition","subject":{"reference":"Patient/1"}}`)) {
		t.Fatal("Observation.subject finds something in a Condition")
	}
}

func TestValuesCanBeLeftEarly(t *testing.T) {
	d, _ := search.Lookup("Patient", "given")
	n := 0
	for range d.Values(resource(t, `{"resourceType":"Patient","name":[{"given":["a","b"]},{"given":["c"]}]}`)) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("visited %d", n)
	}
}

func TestLookupIsExact(t *testing.T) {
	for _, name := range []string{"Patient", "PATIENT", "patient ", "patient:Patient", "_ID", "_text", "near", ""} {
		if d, ok := search.Lookup("Location", name); ok {
			t.Errorf("%q finds %s", name, d.Name)
		}
	}
	for _, typ := range []string{"Resource", "DomainResource", "patient", "Element", ""} {
		if search.IsResourceType(typ) {
			t.Errorf("%q counts as a resource type", typ)
		}
	}
	if n := len(search.ResourceTypes()); n != 146 {
		t.Errorf("%d resource types, R4 has 146 concrete ones", n)
	}
}

func TestCallersCannotChangeTheTables(t *testing.T) {
	search.ResourceTypes()[0] = "changed"
	search.Params("Patient")[0].Name = "changed"
	if search.ResourceTypes()[0] == "changed" || search.Params("Patient")[0].Name == "changed" {
		t.Error("a caller changed the tables")
	}
}
