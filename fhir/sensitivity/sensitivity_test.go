package sensitivity_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/sensitivity"
)

const (
	conf = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
	act  = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
)

func labels(t testing.TB) sensitivity.Labels {
	t.Helper()
	set, known := sensitivity.Named("42CFRPart2")
	if !known {
		t.Fatal("no such set")
	}
	return sensitivity.Labels{{System: conf, Codes: []string{"R"}, Action: sensitivity.Tell}, {System: set.System, Codes: set.Codes, Action: sensitivity.Withhold}}
}

func parse(t testing.TB, raw string) *fhir.Resource {
	t.Helper()
	r, err := fhir.ParseResource([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLabels(t *testing.T) {
	for name, tt := range map[string]struct {
		resource string
		want     sensitivity.Action
	}{
		"a label in another case":             {`"meta":{"security":[{"system":"` + act + `","code":"eth"}]}`, sensitivity.Withhold},
		"with space around it":                {`"meta":{"security":[{"system":"` + act + ` ","code":" ETH "}]}`, sensitivity.Withhold},
		"without a system":                    {`"meta":{"security":[{"code":"ETH"}]}`, sensitivity.Withhold},
		"the system as an OID":                {`"meta":{"security":[{"system":"urn:oid:2.16.840.1.113883.5.4","code":"ETH"}]}`, sensitivity.Withhold},
		"the system's old name":               {`"meta":{"security":[{"system":"http://hl7.org/fhir/v3/ActCode","code":"ETH"}]}`, sensitivity.Withhold},
		"the system by https, with a slash":   {`"meta":{"security":[{"system":"https://terminology.hl7.org/CodeSystem/v3-ActCode/","code":"ETH"}]}`, sensitivity.Withhold},
		"the system with a version":           {`"meta":{"security":[{"system":"` + act + `|9.0.0","code":"ETH"}]}`, sensitivity.Withhold},
		"an object in place of a list":        {`"meta":{"security":{"system":"` + act + `","code":"ETH"}}`, sensitivity.Withhold},
		"on a contained resource":             {`"contained":[{"resourceType":"Condition","id":"c","meta":{"security":[{"system":"` + act + `","code":"SUD"}]}}]`, sensitivity.Withhold},
		"on an entry's resource":              {`"entry":[{"resource":{"resourceType":"Condition","meta":{"security":[{"system":"` + act + `","code":"SUD"}]}}}]`, sensitivity.Withhold},
		"the stricter of two":                 {`"meta":{"security":[{"system":"` + conf + `","code":"R"},{"system":"` + act + `","code":"SUD"}]}`, sensitivity.Withhold},
		"a name with an escape":               {`"meta":{"\u0073ecurity":[{"system":"` + act + `","code":"SUD"}]}`, sensitivity.Withhold},
		"a code that is a number":             {`"meta":{"security":[{"system":"` + act + `","code":5}]}`, sensitivity.Withhold},
		"a text in place of a label":          {`"meta":{"security":["R"]}`, sensitivity.Withhold},
		"a system that is a list":             {`"meta":{"security":[{"system":["` + act + `"],"code":"x"}]}`, sensitivity.Withhold},
		"one to tell of":                      {`"meta":{"security":[{"system":"` + conf + `","code":"R"}]}`, sensitivity.Tell},
		"one that is not listed":              {`"meta":{"security":[{"system":"` + conf + `","code":"N"}]}`, sensitivity.Open},
		"the code of a set in another system": {`"meta":{"security":[{"system":"http://example.org","code":"ETH"}]}`, sensitivity.Open},
		"a label elsewhere than in meta":      {`"security":[{"system":"` + act + `","code":"ETH"}]`, sensitivity.Open},
		"a tag":                               {`"meta":{"tag":[{"system":"` + act + `","code":"ETH"}]}`, sensitivity.Open},
		"no label":                            {`"meta":{}`, sensitivity.Open},
	} {
		t.Run(name, func(t *testing.T) {
			r := parse(t, `{"resourceType":"Observation","id":"o",`+tt.resource+`}`)
			if got := labels(t).Of(r); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
			if got := sensitivity.Labels(nil).Of(r); got != sensitivity.Open {
				t.Errorf("without rules: %v", got)
			}
		})
	}
}

// However deep a listed label lies and whatever lies beside it, it is found.
func TestAListedLabelIsFoundWhereverItLies(t *testing.T) {
	rules := labels(t)
	rapid.Check(t, func(t *rapid.T) {
		inner := `{"resourceType":"Condition","id":"i","meta":{"security":[{"code":"N","system":"` + conf + `"},{"system":"` + act + `","code":"OPIOIDUD"}]}}`
		for range rapid.IntRange(0, 6).Draw(t, "depth") {
			name := rapid.SampledFrom([]string{"contained", "entry", "resource", "extension", "meta"}).Draw(t, "name")
			pad := strings.Repeat(`{"x":1},`, rapid.IntRange(0, 3).Draw(t, "beside"))
			inner = fmt.Sprintf(`{"resourceType":"List","%s":[%s%s]}`, name, pad, inner)
		}
		r, err := fhir.ParseResource([]byte(inner))
		if err != nil {
			t.Fatal(err)
		}
		if got := rules.Of(r); got != sensitivity.Withhold {
			t.Errorf("%v of %s", got, inner)
		}
	})
}

func TestSetsAreWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sensitivity.Sets() {
		if s.Name == "" || seen[s.Name] || len(s.Codes) == 0 || !strings.HasPrefix(s.System, "http://terminology.hl7.org/CodeSystem/v3-") {
			t.Errorf("%+v", s)
		}
		seen[s.Name] = true
	}
	if _, known := sensitivity.Named("nothing"); known {
		t.Error("a set that is none")
	}
}
