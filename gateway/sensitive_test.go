package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/fhir/sensitivity"
	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/smart/scope"
)

const actCode = "http://terminology.hl7.org/CodeSystem/v3-ActCode"

// label is a meta with a security label, and with a mark that must not leave.
func label(code string) string {
	return `"meta":{"versionId":"1","security":[{"system":"` + actCode + `","code":"` + code + `"}]}`
}

// labelled is a house over the EHR of another one that withholds what is
// labelled SUD and tells of what is labelled PSY.
func labelled(t *testing.T, rules sensitivity.Labels, resources ...string) *house {
	t.Helper()
	h := open(t, 0, append(resources, `{"resourceType":"Patient","id":"alice"}`, `{"resourceType":"Patient","id":"bob"}`)...)
	connector, base := connect(t, h.origin, 0)
	over := openOver(t, connector, base, 0, func(o *gateway.Options) { o.Sources[0].Labels = rules })
	over.ehr, over.origin = h.ehr, h.origin
	return over
}

func theRules() sensitivity.Labels {
	return sensitivity.Labels{
		{System: actCode, Codes: []string{"SUD"}, Action: sensitivity.Withhold},
		{System: actCode, Codes: []string{"PSY"}, Action: sensitivity.Tell},
	}
}

// aRecord has, for one code, a labelled condition and all that leads from and to it.
func aRecord(code string) []string {
	of := `"subject":{"reference":"Patient/alice"}`
	return []string{
		`{"resourceType":"Condition","id":"open",` + of + `,"code":{"text":"open"},"recorder":{"reference":"Practitioner/dr"}}`,
		`{"resourceType":"Condition","id":"hidden",` + label(code) + `,` + of + `,"code":{"coding":[{"system":"urn:c","code":"hush"}],"text":"hushhush"},"recorder":{"reference":"Practitioner/only"},"asserter":{"reference":"Practitioner/only"}}`,
		`{"resourceType":"Observation","id":"holder",` + of + `,"contained":[{"resourceType":"Condition","id":"c",` + label(code) + `,` + of + `}],"code":{"text":"hushhush"},"device":{"reference":"Device/pump"}}`,
		`{"resourceType":"Device","id":"pump","deviceName":[{"name":"hushhush","type":"other"}]}`,
		`{"resourceType":"Practitioner","id":"dr","name":[{"family":"House"}]}`,
		`{"resourceType":"Practitioner","id":"only","name":[{"family":"hushhush"}]}`,
		`{"resourceType":"Provenance","id":"of-hidden","target":[{"reference":"Condition/hidden"}],"recorded":"2024-01-01T00:00:00Z","activity":{"text":"hushhush"}}`,
		`{"resourceType":"Provenance","id":"of-both","target":[{"reference":"Condition/open"},{"reference":"Condition/hidden"}],"recorded":"2024-01-01T00:00:00Z","activity":{"text":"hushhush"}}`,
		`{"resourceType":"DocumentReference","id":"note",` + label(code) + `,` + of + `,"content":[{"attachment":{"contentType":"text/plain","url":"Binary/note"}},{"attachment":{"contentType":"text/plain","url":"documents/note.txt"}}]}`,
		`{"resourceType":"Binary","id":"note","contentType":"text/plain","data":"aHVzaGh1c2g="}`,
		`{"resourceType":"DocumentReference","id":"plain",` + of + `,"content":[{"attachment":{"contentType":"text/plain","url":"Binary/marked"}}]}`,
		`{"resourceType":"Binary","id":"marked",` + label(code) + `,"contentType":"text/plain","data":"aHVzaGh1c2g="}`,
		`{"resourceType":"Provenance","id":"of-bobs",` + label(code) + `,"target":[{"reference":"Condition/bobs"}],"recorded":"2024-01-01T00:00:00Z"}`,
		`{"resourceType":"Device","id":"bobs",` + label(code) + `,"deviceName":[{"name":"x","type":"other"}]}`,
		`{"resourceType":"Practitioner","id":"staff",` + label(code) + `,"name":[{"family":"x"}]}`,
		`{"resourceType":"Condition","id":"bobs",` + label(code) + `,"subject":{"reference":"Patient/bob"},"code":{"text":"hushhush"}}`,
	}
}

func TestWhatIsLabelledLeavesInNoWay(t *testing.T) {
	for _, code := range []string{"SUD", "PSY"} {
		h := labelled(t, theRules(), aRecord(code)...)
		for _, path := range []string{
			"/Condition/hidden", "/Condition", "/Condition?patient=alice", "/Condition?code=hush", "/Condition?_id=hidden", "/Condition?_count=1", "/Condition?_summary=true", "/Condition?_elements=code",
			"/Condition?_include=Condition:recorder", "/Condition?_include=Condition:asserter", "/Condition?_revinclude=Provenance:target",
			"/Condition/hidden/_history", "/Condition/hidden/_history/1", "/Observation/holder", "/Observation", "/Device/pump", "/Provenance?target=Condition/hidden", "/Provenance/of-hidden", "/Provenance/of-both",
			"/Practitioner?_revinclude=Condition:recorder", "/Patient/alice/$everything", "/Patient/alice/Condition", "/Patient?_id=alice&_revinclude=Condition:patient",
			"/Binary/note", "/Binary/marked", "/DocumentReference/note", "/DocumentReference",
		} {
			for _, accept := range []string{"application/fhir+json", "text/plain"} {
				r := h.get(path, alice, "Accept", accept)
				for _, word := range []string{"hushhush", "aHVzaGh1c2g", `"hidden"`, "holder", "of-hidden", "of-both", `"pump"`, `"only"`} {
					if strings.Contains(r.body, word) {
						t.Errorf("%s %s %s: %s in %d %s", code, path, accept, word, r.status, r.body)
					}
				}
			}
		}
		batch := h.send(http.MethodPost, "/", alice, `{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Condition/hidden"}},{"request":{"method":"GET","url":"Condition"}}]}`, "Content-Type", "application/fhir+json")
		if strings.Contains(batch.body, "hushhush") || !strings.Contains(batch.body, `"open"`) {
			t.Errorf("batch: %s", batch.body)
		}
		if r := h.get("/Condition?_summary=count", alice); !strings.Contains(r.body, `"total":1`) {
			t.Errorf("a count: %s", r.body)
		}
		if r := h.get("/Condition", alice); !strings.Contains(r.body, `"total":1`) {
			t.Errorf("a total: %s", r.body)
		}
		if r := h.get("/Condition?_count=1", alice); strings.Contains(r.body, `"next"`) {
			t.Errorf("a page that is there for what is withheld: %s", r.body)
		}
		set, err := scope.Parse("patient/Condition.rs")
		if err != nil {
			t.Fatal(err)
		}
		if got := h.gateway.Counts(t.Context(), "ehr", "alice", set.Resources); fmt.Sprint(got) != "map[patient/Condition.rs:1]" {
			t.Errorf("the consent page counts %v", got)
		}
	}
}

// A file that something withheld leads to opens for a handle no more than by id.
func TestHandlesEndWithTheLabel(t *testing.T) {
	rules := theRules()
	before := labelled(t, nil, aRecord("SUD")...)
	handles := urlsIn(before.get("/DocumentReference/note", alice).body)
	if len(handles) != 2 {
		t.Fatalf("%q", handles)
	}
	connector, base := connect(t, before.origin, 0)
	after := openOver(t, connector, base, 0, func(o *gateway.Options) { o.Sources[0].Labels = rules })
	for _, u := range handles {
		if r := before.get(u, alice); r.status != 200 || r.body != "hushhush" {
			t.Errorf("without rules: %d %s", r.status, r.body)
		}
		if r := after.get(strings.TrimPrefix(u, before.base), alice); r.status != http.StatusNotFound {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
}

func TestTellingSaysNeitherWhichNorHowMany(t *testing.T) {
	h := labelled(t, theRules(), append(aRecord("PSY"),
		`{"resourceType":"Condition","id":"hidden2",`+label("PSY")+`,"subject":{"reference":"Patient/alice"},"code":{"text":"hushhush"}}`)...)
	silent := labelled(t, theRules(), aRecord("SUD")...)
	missing := h.get("/Condition/none", alice)
	for path, told := range map[string]bool{
		"/Condition":                     true,
		"/Condition?patient=alice":       true,
		"/Condition?_count=5":            true,
		"/Patient/alice/$everything":     true,
		"/Condition/hidden":              true,
		"/Condition?code=hush":           false, // that it has this very code is what must not be told
		"/Condition?_lastUpdated=gt2000": false,
		"/Condition?_id=hidden":          false,
		"/Condition?_summary=count":      false,
		"/Condition/hidden/_history":     false,
		"/Condition/bobs":                false,
		"/Condition/none":                false,
		"/Provenance/of-bobs":            false,
		"/Device/bobs":                   false,
		"/Practitioner/staff":            false,
		"/Provenance/of-hidden":          false,
		"/AllergyIntolerance":            false,
	} {
		r := h.get(path, alice)
		if got := strings.Contains(r.body, `"suppressed"`); got != told {
			t.Errorf("%s: told %v: %d %s", path, got, r.status, r.body)
		}
		if strings.Count(r.body, `"suppressed"`) > 1 || strings.Contains(r.body, "hidden") {
			t.Errorf("%s tells too much: %s", path, r.body)
		}
		if told && strings.Contains(path, "/hidden") && r.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.status)
		}
		if r := silent.get(path, alice); strings.Contains(r.body, "suppressed") {
			t.Errorf("withhold: %s tells: %s", path, r.body)
		}
	}
	if foreign := h.get("/Condition/bobs", alice); foreign.status != missing.status || foreign.body != missing.body {
		t.Errorf("somebody else's: %d %s", foreign.status, foreign.body)
	}
	if r := h.get("/Condition/hidden", "alice:patient/Condition.rs?category=urn:x|y"); strings.Contains(r.body, "suppressed") {
		t.Errorf("told beyond the scopes: %s", r.body)
	}
	if r := silent.get("/Condition/hidden", alice); r.status != missing.status || r.body != missing.body {
		t.Errorf("withheld looks otherwise than missing: %d %s", r.status, r.body)
	}
}

func TestWithoutRulesNothingIsWithheld(t *testing.T) {
	h := labelled(t, nil, aRecord("SUD")...)
	for _, path := range []string{"/Condition/hidden", "/Observation/holder", "/Binary/note", "/Device/pump"} {
		if r := h.get(path, alice); r.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}
