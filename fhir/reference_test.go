package fhir

import (
	"strings"
	"testing"
)

func TestEachReferenceVisitsWhatLeadsToThisUpstream(t *testing.T) {
	b, err := ParseBase("https://ehr.example.org/fhir")
	if err != nil {
		t.Fatal(err)
	}
	n, err := ParseNode([]byte(`{"reference":{"reference":"Group/g"},"a":[{"reference":"Patient/p/_history/2"},{"reference":"#c"},{"reference":7}],
		"b":{"reference":"https://ehr.example.org/fhir/Device/d"},"c":{"reference":"https://other.example.org/fhir/Device/x"},"url":"Binary/b","d":{"reference":"nowhere"}}`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	b.EachReference(n, func(to Reference) { got = append(got, to.Type+"/"+to.ID) })
	if want := "Group/g Patient/p Device/d"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
}
