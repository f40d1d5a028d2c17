package audit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/audit"
)

func valid() audit.Event {
	return audit.Event{
		ID: "1", Time: time.Unix(1, 0), RequestID: "r", Source: "demo", Client: "app", Interaction: "search-type",
		Type: "Observation", Query: "category,code:in,_count", Outcome: audit.Released, Status: 200,
	}
}

func TestValidateRefusesValuesAndNonsense(t *testing.T) {
	for name, spoil := range map[string]func(*audit.Event){
		"a value in Query":               func(e *audit.Event) { e.Query = "patient=123" },
		"a token value in Query":         func(e *audit.Event) { e.Query = "code http://loinc.org|1234-5" },
		"a number in Query":              func(e *audit.Event) { e.Query = "birthdate,1980-05-02" },
		"an encoded value in Query":      func(e *audit.Event) { e.Query = "name%3DParker" },
		"a second line in Query":         func(e *audit.Event) { e.Query = "name\nParker" },
		"an endless Query":               func(e *audit.Event) { e.Query = strings.Repeat("a", 5000) },
		"no id":                          func(e *audit.Event) { e.ID = "" },
		"no time":                        func(e *audit.Event) { e.Time = time.Time{} },
		"no interaction":                 func(e *audit.Event) { e.Interaction = "" },
		"free text for an interaction":   func(e *audit.Event) { e.Interaction = "read Patient" },
		"no outcome":                     func(e *audit.Event) { e.Outcome = "" },
		"an outcome nobody knows":        func(e *audit.Event) { e.Outcome = "fine" },
		"no status":                      func(e *audit.Event) { e.Status = 0 },
		"scopes over two lines":          func(e *audit.Event) { e.Scopes = "openid\npatient/*.rs" },
		"a negative count":               func(e *audit.Event) { e.Withheld = -1 },
		"a control character in an id":   func(e *audit.Event) { e.ResourceID = "a\x00b" },
		"bytes that are not UTF-8":       func(e *audit.Event) { e.PersonSub = "\xff" },
		"a field without end":            func(e *audit.Event) { e.Client = strings.Repeat("a", 600) },
		"a line break in the request id": func(e *audit.Event) { e.RequestID = "a\nb" },
	} {
		t.Run(name, func(t *testing.T) {
			e := valid()
			spoil(&e)
			err := audit.Validate(e)
			if err == nil {
				t.Fatal("accepted")
			}
			if strings.Contains(err.Error(), "Parker") || strings.Contains(err.Error(), "123") {
				t.Errorf("the error holds the value: %v", err)
			}
		})
	}
}

func TestValidateTakesRealEvents(t *testing.T) {
	for _, edit := range []func(*audit.Event){
		func(*audit.Event) {},
		func(e *audit.Event) { e.Query = "" },
		func(e *audit.Event) { e.Query = "_id, patient:Patient" },
		func(e *audit.Event) { e.Interaction = "$everything" },
		func(e *audit.Event) { e.Outcome, e.Status, e.Client, e.Source = audit.Refused, 401, "", "" },
		func(e *audit.Event) { e.PersonSub = "auth0|Zoë 張" },
	} {
		e := valid()
		edit(&e)
		if err := audit.Validate(e); err != nil {
			t.Errorf("%+v: %v", e, err)
		}
	}
}
