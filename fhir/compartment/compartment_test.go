package compartment_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
)

func me(t testing.TB) compartment.Whose {
	t.Helper()
	base, err := fhir.ParseBase("https://ehr.example.org/fhir")
	if err != nil {
		t.Fatal(err)
	}
	return compartment.Whose{Base: base, Patient: "me"}
}

func parse(t testing.TB, raw string) *fhir.Resource {
	t.Helper()
	r, err := fhir.ParseResource([]byte(raw))
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return r
}

func TestEveryR4TypeHasARule(t *testing.T) {
	ruled := map[string]bool{}
	for _, typ := range compartment.Types() {
		if ruled[typ] {
			t.Errorf("%s has two rules", typ)
		}
		ruled[typ] = true
		if !search.IsResourceType(typ) {
			t.Errorf("%s is no type of R4", typ)
		}
	}
	for _, typ := range search.ResourceTypes() {
		if !ruled[typ] {
			t.Errorf("%s has no rule: whose it is must be said, or that it is closed", typ)
		}
	}
	if got := compartment.Of("Nonsense").Class; got != compartment.Closed {
		t.Errorf("an unknown type has class %d", got)
	}
}

func TestRulesAreUsable(t *testing.T) {
	for _, typ := range compartment.Types() {
		rule := compartment.Of(typ)
		for _, name := range append(append(append([]string{}, rule.Narrow...), rule.Union...), rule.Anchors...) {
			if _, known := search.Lookup(typ, name); !known {
				t.Errorf("%s narrows by %s, which is no search parameter of it", typ, name)
			}
		}
		for _, p := range rule.Pointers {
			if !compartment.Of(p.Type).Class.Served() {
				t.Errorf("%s is pointed to by %s, which is closed", typ, p.Type)
			}
			if _, known := search.Lookup(p.Type, p.Param); p.Param != "" && !known {
				t.Errorf("%s is pointed to by %s?%s, which is no search parameter", typ, p.Type, p.Param)
			}
		}
		decides := len(rule.Owners)+len(rule.Participants)+len(rule.Through)+len(rule.Pointers) > 0
		switch rule.Class {
		case compartment.Own, compartment.Shared:
			if len(rule.Owners)+len(rule.Participants) == 0 {
				t.Errorf("%s belongs to somebody but has no element that says to whom", typ)
			}
		case compartment.Through, compartment.Reached:
			if !decides {
				t.Errorf("%s can never be proven", typ)
			}
		case compartment.Closed:
			if decides {
				t.Errorf("%s is closed and has a rule", typ)
			}
		case compartment.Self, compartment.Directory:
		}
	}
}

// Whatever type: a resource that names another patient, or nobody for certain,
// where its owner stands is never the patient's.
func TestNoTypeIsMineThatNamesSomebodyElse(t *testing.T) {
	w := me(t)
	strangers := map[string]string{
		"another patient":         `{"reference":"Patient/other"}`,
		"id that begins alike":    `{"reference":"Patient/me2"}`,
		"id in another case":      `{"reference":"Patient/ME"}`,
		"other server":            `{"reference":"https://evil.example.org/fhir/Patient/me"}`,
		"other base, same host":   `{"reference":"https://ehr.example.org/fhir2/Patient/me"}`,
		"other scheme":            `{"reference":"http://ehr.example.org/fhir/Patient/me"}`,
		"user in the URL":         `{"reference":"https://ehr.example.org@evil.org/fhir/Patient/me"}`,
		"contained":               `{"reference":"#me"}`,
		"identifier":              `{"identifier":{"system":"urn:x","value":"me"},"type":"Patient"}`,
		"identifier and display":  `{"identifier":{"value":"Patient/me"},"display":"Patient/me"}`,
		"type only":               `{"type":"Patient","display":"me"}`,
		"urn":                     `{"reference":"urn:uuid:c757873d-ec9a-4326-a141-556f43239520"}`,
		"wrong case of reference": `{"Reference":"Patient/me"}`,
		"number":                  `{"reference":7}`,
		"array":                   `{"reference":["Patient/me"]}`,
		"string, no object":       `"Patient/me"`,
		"group":                   `{"reference":"Group/me"}`,
		"person":                  `{"reference":"Person/me"}`,
		"query":                   `{"reference":"Patient/me?x=y"}`,
		"null":                    `null`,
	}
	for _, typ := range compartment.Types() {
		rule := compartment.Of(typ)
		for _, path := range append(append([]string{}, rule.Owners...), rule.Participants...) {
			for name, ref := range strangers {
				if name == "group" && rule.Class == compartment.Directory || name == "person" && rule.Class == compartment.Directory {
					continue // a schedule of something that is not a patient
				}
				r := parse(t, fmt.Sprintf(`{"resourceType":%q,"id":"x",%s}`, typ, at(path, ref)))
				if got := w.Member(r); got == compartment.Mine || got == compartment.Common {
					t.Errorf("%s with %s at %s is %d", typ, name, path, got)
				}
			}
			mine := parse(t, fmt.Sprintf(`{"resourceType":%q,"id":"x",%s}`, typ, at(path, `{"reference":"Patient/me"}`)))
			if got := w.Member(mine); got != compartment.Mine {
				t.Errorf("%s with the patient at %s is %d, not mine", typ, path, got)
			}
			nobody := compartment.Whose{Base: w.Base}
			if got := nobody.Member(mine); got != compartment.Foreign {
				t.Errorf("%s belongs to nobody's token: %d", typ, got)
			}
		}
		empty := parse(t, fmt.Sprintf(`{"resourceType":%q,"id":"x"}`, typ))
		if got := w.Member(empty); got == compartment.Mine {
			t.Errorf("an empty %s is mine", typ)
		}
	}
}

// at builds the JSON of a dotted path, each step an array on every second level
// so that both forms occur.
func at(path, value string) string {
	parts := strings.Split(path, ".")
	for i := len(parts) - 1; i >= 0; i-- {
		if i%2 == 0 {
			value = fmt.Sprintf(`%q:[%s]`, parts[i], value)
		} else {
			value = fmt.Sprintf(`{%q:%s}`, parts[i], value)
		}
		if i > 0 && i%2 == 0 {
			value = "{" + value + "}"
		}
	}
	return value
}

func TestNobodyOwnsNothing(t *testing.T) {
	nobody := compartment.Whose{}
	for _, raw := range []string{`{"resourceType":"Patient"}`, `{"resourceType":"Observation","subject":{"reference":"Patient/"}}`, `{"resourceType":"Practitioner","id":"x"}`} {
		r, err := fhir.ParseResource([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		if got := nobody.Member(r); got != compartment.Foreign {
			t.Errorf("%s: %d", raw, got)
		}
	}
}

func TestOwnerRules(t *testing.T) {
	const mine, other, staff = `{"reference":"Patient/me"}`, `{"reference":"Patient/other"}`, `{"reference":"Practitioner/dr"}`
	for _, tt := range []struct {
		name, raw string
		want      compartment.Membership
	}{
		{"the subject decides, not who performed", `{"resourceType":"Observation","id":"x","subject":` + other + `,"performer":[` + mine + `]}`, compartment.Foreign},
		{"the subject decides, not who recorded", `{"resourceType":"AllergyIntolerance","id":"x","patient":` + other + `,"recorder":` + mine + `}`, compartment.Foreign},
		{"authorship without subject is not ownership", `{"resourceType":"DocumentReference","id":"x","author":[` + mine + `]}`, compartment.Undecided},
		{"two subjects in a type that has one", `{"resourceType":"Observation","id":"x","subject":[` + mine + `,` + other + `]}`, compartment.Foreign},
		{"source patient differs from subject", `{"resourceType":"DocumentReference","id":"x","subject":` + mine + `,"context":{"sourcePatientInfo":` + other + `}}`, compartment.Foreign},
		{"another's Patient", `{"resourceType":"Patient","id":"other","link":[{"other":` + mine + `,"type":"seealso"}]}`, compartment.Foreign},
		{"the own Patient", `{"resourceType":"Patient","id":"me"}`, compartment.Mine},
		{"a group visit", `{"resourceType":"Appointment","id":"x","participant":[{"actor":` + other + `},{"actor":` + staff + `},{"actor":` + mine + `}]}`, compartment.Mine},
		{"a visit of others", `{"resourceType":"Appointment","id":"x","participant":[{"actor":` + other + `},{"actor":` + staff + `}]}`, compartment.Foreign},
		{"a message about somebody else that I got", `{"resourceType":"Communication","id":"x","subject":` + other + `,"recipient":[` + mine + `]}`, compartment.Foreign},
		{"a message about nobody that I sent", `{"resourceType":"Communication","id":"x","sender":` + mine + `,"recipient":[` + staff + `]}`, compartment.Mine},
		{"a message about nobody between others", `{"resourceType":"Communication","id":"x","sender":` + staff + `,"recipient":[` + other + `]}`, compartment.Foreign},
		{"a family account", `{"resourceType":"Account","id":"x","subject":[` + other + `,` + mine + `]}`, compartment.Mine},
		{"a person who is also somebody else", `{"resourceType":"Person","id":"x","link":[{"target":` + mine + `},{"target":` + other + `}]}`, compartment.Foreign},
		{"insurance that I pay for another", `{"resourceType":"Coverage","id":"x","beneficiary":` + other + `,"subscriber":` + mine + `}`, compartment.Foreign},
		{"a task for me", `{"resourceType":"Task","id":"x","for":` + mine + `,"focus":{"reference":"ServiceRequest/1"}}`, compartment.Mine},
		{"a task for another that I requested", `{"resourceType":"Task","id":"x","for":` + other + `,"requester":` + mine + `}`, compartment.Foreign},
		{"a task without for that I requested", `{"resourceType":"Task","id":"x","requester":` + mine + `}`, compartment.Mine},
		{"a doctor", `{"resourceType":"Practitioner","id":"dr"}`, compartment.Common},
		{"a doctor's schedule", `{"resourceType":"Schedule","id":"x","actor":[` + staff + `]}`, compartment.Common},
		{"another patient's schedule by the URI of the type", `{"resourceType":"Schedule","id":"x","actor":[{"type":"http://hl7.org/fhir/StructureDefinition/Patient","identifier":{"value":"7"}}]}`, compartment.Foreign},
		{"another patient's schedule", `{"resourceType":"Schedule","id":"x","actor":[` + staff + `,` + other + `]}`, compartment.Foreign},
		{"an implant of mine", `{"resourceType":"Device","id":"x","patient":` + mine + `}`, compartment.Mine},
		{"an implant of another", `{"resourceType":"Device","id":"x","patient":` + other + `}`, compartment.Foreign},
		{"a device of nobody", `{"resourceType":"Device","id":"x"}`, compartment.Undecided},
		{"a provenance", `{"resourceType":"Provenance","id":"x","target":[` + mine + `]}`, compartment.Undecided},
		{"an audit event about me", `{"resourceType":"AuditEvent","id":"x","entity":[{"what":` + mine + `}]}`, compartment.Foreign},
		{"a value set", `{"resourceType":"ValueSet","id":"x"}`, compartment.Foreign},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := me(t).Member(parse(t, tt.raw)); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestStrangersAreFoundWhereverTheyStand(t *testing.T) {
	for _, tt := range []struct {
		name, raw string
		want      []string
		refused   bool
	}{
		{"none", `{"resourceType":"Appointment","id":"x","participant":[{"actor":{"reference":"Patient/me","display":"I"}},{"actor":{"reference":"Location/1"}}]}`, nil, false},
		{"another participant with its display", `{"resourceType":"Appointment","id":"x","participant":[{"actor":{"display":"B","reference":"Patient/other"}}]}`, []string{`{"display":"B","reference":"Patient/other"}`}, false},
		{"absolute on the own base", `{"resourceType":"Appointment","id":"x","participant":[{"actor":{"reference":"https://ehr.example.org/fhir/Patient/other"}}]}`, []string{`{"reference":"https://ehr.example.org/fhir/Patient/other"}`}, false},
		{"foreign server in a shared type", `{"resourceType":"Communication","id":"x","sender":{"reference":"https://h.example/Practitioner/1"}}`, []string{`{"reference":"https://h.example/Practitioner/1"}`}, false},
		{"identifier only", `{"resourceType":"Appointment","id":"x","participant":[{"actor":{"type":"Patient","identifier":{"value":"7"},"display":"B"}}]}`, []string{`{"type":"Patient","identifier":{"value":"7"},"display":"B"}`}, false},
		{"inside an extension", `{"resourceType":"Observation","id":"x","extension":[{"url":"u","valueReference":{"reference":"Patient/other"}}]}`, []string{`{"reference":"Patient/other"}`}, false},
		{"inside a contained resource", `{"resourceType":"Observation","id":"x","contained":[{"resourceType":"Observation","subject":{"reference":"#p"},"performer":[{"reference":"Patient/other"}]}]}`, []string{`{"reference":"Patient/other"}`}, false},
		{"contained resource of another", `{"resourceType":"DiagnosticReport","id":"x","subject":{"reference":"Patient/me"},"contained":[{"resourceType":"Observation","subject":{"reference":"Patient/other"},"valueString":"B"}]}`, nil, true},
		{"resource of another in a contained Bundle", `{"resourceType":"Organization","id":"x","contained":[{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Condition","subject":{"reference":"Patient/other"}}}]}]}`, nil, true},
		{"resource of another where none belongs", `{"resourceType":"Observation","id":"x","a":{"resourceType":"Coverage","beneficiary":{"reference":"Patient/other"}}}`, nil, true},
		{"contained patient in what everybody sees", `{"resourceType":"Slot","id":"x","contained":[{"resourceType":"Patient","id":"p"}]}`, nil, true},
		{"contained personal resource in what everybody sees", `{"resourceType":"Slot","id":"x","contained":[{"resourceType":"Appointment","id":"a","description":"B"}]}`, nil, true},
		{"contained patient within a contained resource", `{"resourceType":"Appointment","id":"x","contained":[{"resourceType":"Parameters","parameter":[{"resource":{"resourceType":"Patient","id":"p"}}]}]}`, nil, true},
		{"somebody's relative in what several see", `{"resourceType":"Appointment","id":"x","contained":[{"resourceType":"RelatedPerson","id":"r","patient":{"reference":"Patient/other"}}]}`, nil, true},
		{"contained resources that are harmless", `{"resourceType":"Medication","id":"x","contained":[{"resourceType":"Substance","id":"s"},{"resourceType":"Organization","id":"o"}]}`, nil, false},
		{"contained in what is the patient's alone", `{"resourceType":"Coverage","id":"x","beneficiary":{"reference":"Patient/me"},"contained":[{"resourceType":"Patient","id":"me"},{"resourceType":"RelatedPerson","patient":{"reference":"Patient/me"}}]}`, nil, false},
		{"a type by its URI", `{"resourceType":"Observation","id":"x","performer":[{"type":"http://hl7.org/fhir/StructureDefinition/Patient","identifier":{"value":"7"}}]}`, []string{`{"type":"http://hl7.org/fhir/StructureDefinition/Patient","identifier":{"value":"7"}}`}, false},
		{"identifier without a type", `{"resourceType":"Appointment","id":"x","participant":[{"actor":{"identifier":{"value":"7"},"display":"B"}}],"extension":[{"url":"u","valueReference":{"identifier":{"value":"7"}}}]}`, []string{`{"identifier":{"value":"7"},"display":"B"}`, `{"identifier":{"value":"7"}}`}, false},
		{"participant by name alone", `{"resourceType":"Appointment","id":"x","participant":[{"actor":{"display":"B"}},{"actor":{"type":"Practitioner","display":"Dr"}},{"actor":{"reference":"#p"}}]}`, []string{`{"display":"B"}`}, false},
		{"participant of an odd form", `{"resourceType":"CareTeam","id":"x","subject":{"reference":"Patient/me"},"participant":[{"member":{"reference":["Patient/other"]}},{"member":"Patient/other"}]}`, []string{`{"reference":["Patient/other"]}`, `"Patient/other"`}, false},
		{"merged records", `{"resourceType":"Patient","id":"me","link":[{"other":{"reference":"Patient/other"},"type":"seealso"}]}`, []string{`{"reference":"Patient/other"}`}, false},
		{"a version of another", `{"resourceType":"Group","id":"x","member":[{"entity":{"reference":"Patient/other/_history/2"}}]}`, []string{`{"reference":"Patient/other/_history/2"}`}, false},
		{"nested: the outer one is enough", `{"resourceType":"Group","id":"x","member":[{"entity":{"reference":"Patient/other","extension":[{"url":"u","valueReference":{"reference":"Patient/b"}}]}}]}`, []string{`{"reference":"Patient/other","extension":[{"url":"u","valueReference":{"reference":"Patient/b"}}]}`}, false},
		{"relatives and the narrative beside a stranger", `{"resourceType":"Appointment","id":"x","text":{"div":"B"},"participant":[{"actor":{"reference":"Patient/other"}},{"actor":{"reference":"RelatedPerson/mother-of-b"}}]}`, []string{`{"div":"B"}`, `{"reference":"Patient/other"}`, `{"reference":"RelatedPerson/mother-of-b"}`}, false},
		{"what is somebody's beside a stranger", `{"resourceType":"Appointment","id":"x","participant":[{"actor":{"reference":"Patient/other"}},{"actor":{"reference":"Patient/me"}},{"actor":{"reference":"Practitioner/dr"}}],"slot":[{"reference":"Slot/1"}],"reasonReference":[{"reference":"Condition/1","display":"of B"},{"type":"Condition","display":"of B"},{"display":"of B"},{"type":"Location","display":"here"},{"reference":"#c"}],"contained":[{"resourceType":"Organization","id":"c"}]}`, []string{`{"reference":"Patient/other"}`, `{"reference":"Condition/1","display":"of B"}`, `{"type":"Condition","display":"of B"}`, `{"display":"of B"}`}, false},
		{"what is somebody's without a stranger", `{"resourceType":"Account","id":"x","subject":[{"reference":"Patient/me"}],"coverage":[{"coverage":{"reference":"Coverage/1"}}]}`, nil, false},
		{"a patient who might be another in what is the own", `{"resourceType":"Observation","id":"x","subject":{"reference":"Patient/me"},"contained":[{"resourceType":"Patient","id":"p"}]}`, nil, true},
		{"the same in a contained Bundle", `{"resourceType":"Observation","id":"x","subject":{"reference":"Patient/me"},"contained":[{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","id":"other"}}]}]}`, nil, true},
		{"what tells of somebody's in what everybody sees", `{"resourceType":"Organization","id":"x","contained":[{"resourceType":"PaymentNotice","request":{"reference":"Claim/1"},"identifier":[{"value":"B"}]}]}`, nil, true},
		{"what tells of somebody's in the own", `{"resourceType":"Claim","id":"x","contained":[{"resourceType":"PaymentNotice","request":{"reference":"Claim/1"}}]}`, nil, false},
		{"contained of no type", `{"resourceType":"Observation","id":"x","contained":[{"id":"p","name":[{"family":"B"}]}]}`, nil, true},
		{"contained of a type in another case", `{"resourceType":"Location","id":"x","contained":[{"resourceType":"patient","id":"p"}]}`, nil, true},
		{"contained of a type that is a list", `{"resourceType":"Observation","id":"x","contained":[{"resourceType":["Observation"],"subject":{"reference":"Patient/me"}}]}`, nil, true},
		{"contained in a contained of no type", `{"resourceType":"Observation","id":"x","contained":[{"resourceType":"Organization","contained":{"id":"p"}}]}`, nil, true},
		{"a patient by urn", `{"resourceType":"Observation","id":"x","focus":[{"reference":"urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0","type":"Patient","display":"B"}]}`, []string{`{"reference":"urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0","type":"Patient","display":"B"}`}, false},
		{"a patient by nothing but the type", `{"resourceType":"Observation","id":"x","focus":[{"type":"Patient","_display":{"extension":[{"url":"u","valueString":"B"}]}}]}`, []string{`{"type":"Patient","_display":{"extension":[{"url":"u","valueString":"B"}]}}`}, false},
		{"a patient by an empty reference", `{"resourceType":"Observation","id":"x","focus":[{"reference":"","type":"Patient","display":"B"}]}`, []string{`{"reference":"","type":"Patient","display":"B"}`}, false},
		{"a patient who is called another thing", `{"resourceType":"Observation","id":"x","focus":[{"reference":"Practitioner/dr","type":"Patient","display":"B"},{"reference":"#c","type":"Patient","display":"B"},{"reference":"Patient/me","type":"Patient"}]}`, []string{`{"reference":"Practitioner/dr","type":"Patient","display":"B"}`, `{"reference":"#c","type":"Patient","display":"B"}`}, false},
		{"another case of the type", `{"resourceType":"Observation","id":"x","focus":[{"reference":"patient/other"},{"reference":"https://h.example/fhir/PATIENT/1"}]}`, []string{`{"reference":"patient/other"}`, `{"reference":"https://h.example/fhir/PATIENT/1"}`}, false},
		{"a patient by a condition, or escaped", `{"resourceType":"Observation","id":"x","focus":[{"reference":"https://h.example/fhir/Patient?identifier=7"},{"reference":"https://h.example/%50atient%2F7"},{"reference":"P%61tient/other"},{"reference":"https://patients.example/Organization/1"}]}`, []string{`{"reference":"https://h.example/fhir/Patient?identifier=7"}`, `{"reference":"https://h.example/%50atient%2F7"}`, `{"reference":"P%61tient/other"}`}, false},
		{"URIs that lead to another", `{"resourceType":"Observation","id":"x","extension":[{"url":"u","valueUri":"Patient/other"},{"url":"u","valueCanonical":"https://ehr.example.org/fhir/patient/other|2"},{"url":"u","valueUrl":"https://ehr.example.org/fhir/P%61tient/other/$everything"},{"url":"u","valueUri":"Patient?identifier=7"},{"url":"u","valueString":"https:\/\/ehr.example.org\/fhir\/Patient\/other"}],"meta":{"source":"https://ehr.example.org/fhir/Patient/other"}}`, []string{`"Patient/other"`, `"https://ehr.example.org/fhir/patient/other|2"`, `"https://ehr.example.org/fhir/P%61tient/other/$everything"`, `"Patient?identifier=7"`, `"https:\/\/ehr.example.org\/fhir\/Patient\/other"`, `"https://ehr.example.org/fhir/Patient/other"`}, false},
		{"URIs that do not", `{"resourceType":"Observation","id":"x","extension":[{"url":"http://hl7.org/fhir/StructureDefinition/Patient","valueUri":"Patient/me"},{"url":"u","valueUrl":"https://ehr.example.org/fhir/Patient/me/$everything"},{"url":"u","valueString":"Patient/Family"},{"url":"u","valueUri":"https://h.example/Patient/1"}]}`, nil, false},
		{"relatives and the narrative without a stranger", `{"resourceType":"Appointment","id":"x","text":{"div":"A"},"participant":[{"actor":{"reference":"Patient/me"}},{"actor":{"reference":"RelatedPerson/my-mother"}}]}`, nil, false},
		{"contained patient in a shared type", `{"resourceType":"Appointment","id":"x","contained":[{"resourceType":"Patient","id":"p"}]}`, nil, true},
		{"the whole resource looks like a reference", `{"resourceType":"Observation","id":"x","reference":"Patient/other"}`, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			places, ok := me(t).Strangers(parse(t, tt.raw))
			if ok == tt.refused {
				t.Fatalf("ok = %v", ok)
			}
			var got []string
			for _, p := range places {
				got = append(got, string(p.Raw()))
			}
			if strings.Join(got, "|") != strings.Join(tt.want, "|") && !tt.refused {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// Property: whatever is built around it, once the strangers of a resource are
// masked no reference to another patient is left in it.
func TestAfterMaskingNoStrangerIsLeft(t *testing.T) {
	w := me(t)
	const secret = "Patient/other-9f1c"
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom(compartment.Types()).Draw(t, "type")
		raw := `{"resourceType":"` + typ + `","id":"x","a":` + tree(t, 4, secret) + `}`
		r, err := fhir.ParseResource([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		places, ok := w.Strangers(r)
		if !ok {
			return
		}
		var edits []fhir.Edit
		for _, p := range places {
			start, end := p.Span()
			edits = append(edits, fhir.Edit{Start: start, End: end, With: []byte(`{}`)})
		}
		if out := r.Splice(edits); strings.Contains(string(out), secret) {
			t.Fatalf("left in %s", out)
		}
	})
}

func tree(t *rapid.T, depth int, secret string) string {
	kind := rapid.IntRange(0, 5).Draw(t, "kind")
	if depth == 0 && kind > 1 {
		kind = 1
	}
	switch kind {
	case 0:
		return `"text"`
	case 1:
		return rapid.SampledFrom([]string{
			`{"reference":"` + secret + `"}`, `{"display":"B","reference":"` + secret + `"}`,
			`{"reference":"https:\/\/ehr.example.org\/fhir\/` + secret + `"}`, `{"reference":"` + secret + `/_history/1"}`,
			`{"reference":"Patient/me"}`, `{"\u0072eference":"` + secret + `"}`,
		}).Draw(t, "reference")
	case 2, 3:
		return `[` + tree(t, depth-1, secret) + `,` + tree(t, depth-1, secret) + `]`
	default:
		return `{"x":` + tree(t, depth-1, secret) + `,"y":` + tree(t, depth-1, secret) + `}`
	}
}
