package search_test

import (
	"testing"

	"github.com/portico-fhir/portico/fhir/search"
)

func TestTablesLoad(t *testing.T) {
	if len(search.ResourceTypes()) != 146 {
		t.Fatal(len(search.ResourceTypes()))
	}
	if _, ok := search.Lookup("Condition", "asserted-date"); !ok {
		t.Fatal("asserted-date")
	}
	for _, typ := range search.ResourceTypes() {
		search.RevIncludes(typ)
	}
}
