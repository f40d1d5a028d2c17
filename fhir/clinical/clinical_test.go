package clinical_test

import (
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/clinical"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
)

func TestEveryClinicalDateIsADate(t *testing.T) {
	dated := 0
	for _, typ := range compartment.Types() {
		for _, name := range clinical.Dates(typ) {
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

func parse(t *testing.T, text string) *fhir.Resource {
	t.Helper()
	r, err := fhir.ParseResource([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAPeriodHoldsWhatTouchesItAndWhatHasNoDate(t *testing.T) {
	for name, tt := range map[string]struct {
		start, end, resource string
		want                 bool
	}{
		"before":                       {"2024", "", `{"resourceType":"Observation","id":"a","effectiveDateTime":"2023-12-31"}`, false},
		"after":                        {"", "2023", `{"resourceType":"Observation","id":"a","effectiveDateTime":"2024-01-01"}`, false},
		"on its first day":             {"2024-02-01", "", `{"resourceType":"Observation","id":"a","effectiveDateTime":"2024-02-01"}`, true},
		"a visit that ends within":     {"2024-02-01", "", `{"resourceType":"Encounter","id":"a","period":{"start":"2024-01-01","end":"2024-02-01T09:00:00Z"}}`, true},
		"without a date":               {"2024", "2024", `{"resourceType":"Observation","id":"a"}`, true},
		"of a type that has no date":   {"2024", "2024", `{"resourceType":"Coverage","id":"a","period":{"start":"1999"}}`, true},
		"the first parameter decides":  {"2024", "", `{"resourceType":"Condition","id":"a","onsetDateTime":"1990","recordedDate":"2024-05-05"}`, false},
		"the second where it is alone": {"2024", "", `{"resourceType":"Condition","id":"a","recordedDate":"2024-05-05"}`, true},
	} {
		p, err := clinical.Between([]string{"Observation", "Encounter", "Condition", "Coverage"}, tt.start, tt.end, search.Matcher{Now: time.Now})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := p.Holds(parse(t, tt.resource)); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestABoundThatIsNoDateIsRefusedWhateverTheTypes(t *testing.T) {
	for _, bad := range []string{"yesterday", "2024-13", "ge2024", "2024,2025"} {
		for _, types := range [][]string{nil, {"Coverage"}, {"Observation"}} {
			if _, err := clinical.Between(types, bad, "", search.Matcher{}); err == nil {
				t.Errorf("start %q for %v", bad, types)
			}
			if _, err := clinical.Between(types, "", bad, search.Matcher{}); err == nil {
				t.Errorf("end %q for %v", bad, types)
			}
		}
	}
}

func TestWhenIsTheLatestOfTheFirstParameterWithAValue(t *testing.T) {
	for name, tt := range map[string]struct{ resource, want string }{
		"the end of a period": {`{"resourceType":"DocumentReference","id":"a","date":"2025-01-01T00:00:00Z","context":{"period":{"start":"2020-01-01","end":"2021-01-01"}}}`, "2021-01-01"},
		"the other":           {`{"resourceType":"DocumentReference","id":"a","date":"2025-01-01T00:00:00Z"}`, "2025-01-01"},
		"neither":             {`{"resourceType":"DocumentReference","id":"a"}`, "0001-01-01"},
		"what cannot be read": {`{"resourceType":"DocumentReference","id":"a","date":"soon"}`, "0001-01-01"},
	} {
		if got := clinical.When(parse(t, tt.resource), "period", "date").UTC().Format(time.DateOnly); got != tt.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
