package gateway

import (
	"testing"

	"github.com/portico-fhir/portico/fhir/search"
)

func TestEveryClinicalDateIsADate(t *testing.T) {
	dated := 0
	for _, typ := range ownedTypes() {
		for _, name := range clinicalDates(typ) {
			if d, known := search.Lookup(typ, name); !known || d.Kind != search.Date {
				t.Errorf("%s has no date %s", typ, name)
			}
			dated++
		}
	}
	if dated < 60 {
		t.Errorf("%d dates", dated)
	}
}
