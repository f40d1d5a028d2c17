package guard_test

import (
	"testing"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/smart/scope"
)

func mayWrite(t *testing.T, scopes string) guard.Who {
	t.Helper()
	base, err := fhir.ParseBase("https://ehr.example/r4")
	if err != nil {
		t.Fatal(err)
	}
	set, err := scope.Parse(scopes)
	if err != nil {
		t.Fatal(err)
	}
	return guard.Who{Patient: "a", Scopes: set, Base: base}
}

func TestAcceptsNothingThatIsNotTheOwnAlone(t *testing.T) {
	all := "patient/*.cruds"
	for name, tt := range map[string]struct {
		scopes, raw string
		want        fault.Kind
	}{
		"another's":                {all, `{"resourceType":"Observation","subject":{"reference":"Patient/b"}}`, fault.Unprocessable},
		"nobody's":                 {all, `{"resourceType":"Observation"}`, fault.Unprocessable},
		"another inside":           {all, `{"resourceType":"Observation","subject":{"reference":"Patient/a"},"focus":[{"reference":"Patient/b"}]}`, fault.Unprocessable},
		"another elsewhere inside": {all, `{"resourceType":"Observation","subject":{"reference":"Patient/a"},"focus":[{"reference":"https://x.example/Patient/b"}]}`, fault.Unprocessable},
		"somebody at a seat":       {all, `{"resourceType":"Appointment","participant":[{"actor":{"reference":"Patient/a"}},{"actor":{"display":"Bob"}}]}`, fault.Unprocessable},
		"a person contained":       {all, `{"resourceType":"Observation","subject":{"reference":"Patient/a"},"contained":[{"resourceType":"Patient","id":"a"}]}`, fault.Unprocessable},
		"nobody's contained":       {all, `{"resourceType":"Observation","subject":{"reference":"Patient/a"},"contained":[{"resourceType":"Observation","id":"o"}]}`, fault.Unprocessable},
		"a device contained":       {all, `{"resourceType":"Observation","subject":{"reference":"Patient/a"},"contained":[{"resourceType":"Device","id":"o"}]}`, fault.Unprocessable},
		"another's schedule":       {all, `{"resourceType":"Observation","subject":{"reference":"Patient/a"},"contained":[{"resourceType":"Schedule","id":"o","actor":[{"reference":"Patient/b"}]}]}`, fault.Unprocessable},
		"a Patient":                {all, `{"resourceType":"Patient","id":"a"}`, fault.Forbidden},
		"a Practitioner":           {all, `{"resourceType":"Practitioner"}`, fault.Forbidden},
		"a Provenance":             {all, `{"resourceType":"Provenance","target":[{"reference":"Patient/a"}]}`, fault.Forbidden},
		"a scope to read":          {"patient/*.rs", `{"resourceType":"Observation","subject":{"reference":"Patient/a"}}`, fault.Forbidden},
		"a scope to update":        {"patient/*.u", `{"resourceType":"Observation","subject":{"reference":"Patient/a"}}`, fault.Forbidden},
		"a scope for another part": {"patient/Observation.c?status=final", `{"resourceType":"Observation","subject":{"reference":"Patient/a"}}`, fault.Forbidden},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := fhir.ParseResource([]byte(tt.raw))
			if err != nil {
				t.Fatal(err)
			}
			if err := mayWrite(t, tt.scopes).Accepts(r, guard.Create); err == nil || fault.KindOf(err) != tt.want {
				t.Errorf("%v", err)
			}
		})
	}
	own, _ := fhir.ParseResource([]byte(`{"resourceType":"Observation","status":"final","subject":{"reference":"Patient/a"},"contained":[{"resourceType":"Organization","id":"o"}]}`))
	for _, scopes := range []string{all, "patient/Observation.c", "patient/Observation.c?status=final", "user/Observation.c"} {
		if err := mayWrite(t, scopes).Accepts(own, guard.Create); err != nil {
			t.Errorf("%s: %v", scopes, err)
		}
	}
}

// Every type of R4: only the patient, and what belongs to nobody, may be pointed
// to without a proof.
func TestMayPointNeedsAProofForWhateverCouldBeSomebodys(t *testing.T) {
	w := mayWrite(t, "patient/*.cruds")
	for _, typ := range append(compartment.Types(), "Nonsense") {
		want := guard.IfReadable
		switch compartment.Of(typ).Class {
		case compartment.Directory:
			want = guard.Always
		case compartment.Closed, compartment.Self:
			want = guard.Never
		default:
		}
		switch typ {
		case "Binary": // what leads to a file is others' to say
			want = guard.Never
		case "Schedule": // may be a patient's
			want = guard.IfReadable
		}
		if got := w.MayPoint(fhir.Reference{Where: fhir.Local, Type: typ, ID: "b"}); got != want {
			t.Errorf("%s: %d", typ, got)
		}
		if got := w.MayPoint(fhir.Reference{Where: fhir.Foreign, Type: typ, ID: "b"}); got == guard.Always {
			t.Errorf("%s elsewhere: %d", typ, got)
		}
	}
	if w.MayPoint(fhir.Reference{Where: fhir.Local, Type: "Patient", ID: "a"}) != guard.Always {
		t.Error("the own Patient")
	}
}
