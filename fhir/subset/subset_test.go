package subset_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/subset"
)

const tag = `{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}`

func cut(t testing.TB, v subset.View, raw string) string {
	t.Helper()
	r, err := fhir.ParseResource([]byte(raw))
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return string(r.Splice(v.Edits(r)))
}

func TestWhatIsTakenOutAndWhatStays(t *testing.T) {
	elements := func(names ...string) subset.View { return subset.View{Elements: names} }
	summary := func(s string) subset.View { return subset.View{Summary: s} }
	for name, tt := range map[string]struct {
		view      subset.View
		raw, want string
	}{
		"nothing is taken out": {
			elements("name"), `{"resourceType":"Patient","id":"a","name":[]}`, `{"resourceType":"Patient","id":"a","name":[]}`},
		"false is everything": {
			summary("false"), `{"resourceType":"Patient","text":{}}`, `{"resourceType":"Patient","text":{}}`},
		"mandatory elements and modifiers stay, decimals and blanks too": {
			elements("valueQuantity"), `{"resourceType":"Observation", "id":"o" ,"status":"final","note":[{"text":"x"}], "code":{ "text":"\u0041"},"subject":{}, "valueQuantity":{"value":1.00 }}`,
			`{"meta":{"tag":[` + tag + `]},"resourceType":"Observation", "id":"o" ,"status":"final", "code":{ "text":"\u0041"}, "valueQuantity":{"value":1.00 }}`},
		"a choice by its base": {
			elements("value"), `{"resourceType":"Observation","status":"final","code":{},"valueString":"v","valueSet":1,"values":2}`,
			`{"meta":{"tag":[` + tag + `]},"resourceType":"Observation","status":"final","code":{},"valueString":"v"}`},
		"what goes first": {
			elements("gender"), `{"birthDate":"1980","_birthDate":{},"resourceType":"Patient","gender":"male"}`,
			`{"meta":{"tag":[` + tag + `]},"resourceType":"Patient","gender":"male"}`},
		"a primitive's sibling goes and stays with it": {
			elements("birthDate"), `{"resourceType":"Patient","gender":"male","_gender":{"id":"g"},"birthDate":"1980","_birthDate":{"id":"b"}}`,
			`{"meta":{"tag":[` + tag + `]},"resourceType":"Patient","birthDate":"1980","_birthDate":{"id":"b"}}`},
		"an escaped name is the name": {
			elements("birthDate"), `{"resourceType":"Patient","\u0067ender":"male","birth\u0044ate":"1980"}`,
			`{"meta":{"tag":[` + tag + `]},"resourceType":"Patient","birth\u0044ate":"1980"}`},
		"modifier extensions stay": {
			elements("gender"), `{"resourceType":"Patient","extension":[],"modifierExtension":[1],"implicitRules":"x"}`,
			`{"meta":{"tag":[` + tag + `]},"resourceType":"Patient","modifierExtension":[1],"implicitRules":"x"}`},
		"meta without a tag": {
			elements("x"), `{"resourceType":"Basic","meta":{"versionId":"1"},"code":{},"author":{}}`,
			`{"resourceType":"Basic","meta":{"tag":[` + tag + `],"versionId":"1"},"code":{}}`},
		"an empty meta": {
			elements("x"), `{"resourceType":"Basic","meta":{ },"author":{}}`, `{"resourceType":"Basic","meta":{"tag":[` + tag + `] }}`},
		"a tag beside others": {
			elements("x"), `{"resourceType":"Basic","meta":{"tag":[{"code":"t"}]},"author":{}}`,
			`{"resourceType":"Basic","meta":{"tag":[` + tag + `,{"code":"t"}]}}`},
		"an empty list of tags": {
			elements("x"), `{"resourceType":"Basic","meta":{"tag":[]},"author":{}}`, `{"resourceType":"Basic","meta":{"tag":[` + tag + `]}}`},
		"tagged before": {
			elements("x"), `{"resourceType":"Basic","meta":{"tag":[` + tag + `]},"author":{}}`, `{"resourceType":"Basic","meta":{"tag":[` + tag + `]}}`},
		"a meta that is none": {
			elements("x"), `{"resourceType":"Basic","meta":null,"author":{}}`, `{"resourceType":"Basic","meta":{"tag":[` + tag + `]}}`},
		"a tag that is none": {
			elements("x"), `{"resourceType":"Basic","meta":{"tag":{}},"author":{}}`, `{"resourceType":"Basic","meta":{"tag":[` + tag + `]}}`},
		"data is all but the narrative": {
			summary("data"), `{"resourceType":"Basic","text":{"div":"x"},"author":{},"x":1.50}`, `{"meta":{"tag":[` + tag + `]},"resourceType":"Basic","author":{},"x":1.50}`},
		"text is the narrative and what must be there": {
			summary("text"), `{"resourceType":"Observation","text":{"div":"x"},"status":"final","subject":{},"code":{}}`,
			`{"meta":{"tag":[` + tag + `]},"resourceType":"Observation","text":{"div":"x"},"status":"final","code":{}}`},
		"the summary reaches inside": {
			summary("true"), `{"resourceType":"Observation","note":[],"component":[{"code":{"x":1},"referenceRange":[2],"valueQuantity":{"value":1.0}},{"interpretation":[],"code":{}},{"interpretation":[]}],"status":"final"}`,
			`{"meta":{"tag":[` + tag + `]},"resourceType":"Observation","component":[{"code":{"x":1},"valueQuantity":{"value":1.0}},{"code":{}},{"interpretation":[]}],"status":"final"}`},
		"a type that nobody knows": {
			elements("x"), `{"resourceType":"Colour","x":1,"y":2}`, `{"meta":{"tag":[` + tag + `]},"resourceType":"Colour","x":1}`},
	} {
		if got := cut(t, tt.view, tt.raw); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tt.want)
		}
	}
}

func TestEveryTypeHasARow(t *testing.T) {
	for _, typ := range search.ResourceTypes() {
		raw := fmt.Sprintf(`{"resourceType":%q,"text":{},"language":"en","identifier":[]}`, typ)
		if got := cut(t, subset.View{Summary: "true"}, raw); strings.Contains(got, `"text"`) {
			t.Errorf("%s: %s", typ, got)
		}
	}
	// Each type has something that is mandatory or in its summary.
	if got := cut(t, subset.View{Summary: "true"}, `{"resourceType":"Slot","schedule":{},"status":"x","start":1,"end":2,"comment":"c"}`); strings.Contains(got, "comment") || !strings.Contains(got, `"schedule"`) {
		t.Error(got)
	}
}

// drawMember makes a member with awkward bytes; its value says which it is.
func drawMember(t *rapid.T, name string, i int) string {
	value := fmt.Sprintf(rapid.SampledFrom([]string{`{"v":%d.00}`, ` [ {"x":%d } ,1e2] `, `"t%d \/ \u00e9"`, `{ "reference" : "Patient/%d"}`}).Draw(t, "value"), i)
	if name == "component" {
		value = fmt.Sprintf(`[{"code":{},"interpretation":[%d],"x":{}}]`, i)
	}
	return fmt.Sprintf(`%q%s:%s`, name, rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "blank"), value)
}

// Whatever the order and whatever is asked for: the result is a resource, every
// member of it is one of the original with its bytes, in the original order, and
// it is tagged exactly when something is gone.
func TestACutResourceIsASubset(t *testing.T) {
	names := []string{"status", "_status", "code", "subject", "_subject", "performer", "valueQuantity", "note", "text", "component", "contained", "modifierExtension", "bodySite", "language"}
	metas := []string{"", `"meta":{}`, `"meta":{"versionId":"1"}`, `"meta":{"tag":[{"code":"x"}],"source":"s"}`, `"meta":{"tag":[ ]}`}
	rapid.Check(t, func(t *rapid.T) {
		members := []string{`"resourceType":"Observation"`}
		if rapid.Bool().Draw(t, "id") {
			members = append(members, `"id":"o"`)
		}
		if meta := rapid.SampledFrom(metas).Draw(t, "meta"); meta != "" {
			members = append(members, meta)
		}
		for i, name := range names {
			if rapid.Bool().Draw(t, name) {
				members = append(members, drawMember(t, name, i))
			}
		}
		raw := "{" + strings.Join(rapid.Permutation(members).Draw(t, "order"), rapid.SampledFrom([]string{",", " , ", ",\n"}).Draw(t, "comma")) + "}"
		view := subset.View{Summary: rapid.SampledFrom([]string{"", "true", "text", "data"}).Draw(t, "summary")}
		if view.Summary == "" {
			view.Elements = rapid.SliceOfN(rapid.SampledFrom(append([]string{"value", "nothing"}, names...)), 1, 4).Draw(t, "elements")
		}
		original, err := fhir.ParseResource([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		got := string(original.Splice(view.Edits(original)))
		result, err := fhir.ParseResource([]byte(got))
		if err != nil {
			t.Fatalf("%v of\n%s\nunder %+v:\n%s", err, raw, view, got)
		}
		var were []string
		for m := range original.Root().Children() {
			were = append(were, m.Name())
		}
		last, kept := -1, 0
		for m := range result.Root().Children() {
			name := m.Name()
			at := slices.Index(were, name)
			if name == "meta" {
				continue
			}
			kept++
			if at <= last {
				t.Fatalf("%s is new, or not in its place:\n%s", name, got)
			}
			last = at
			if name != "component" && string(m.Raw()) != string(original.Root().Get(name).Raw()) {
				t.Fatalf("%s has changed:\n%s", name, got)
			}
			if base := strings.TrimPrefix(name, "_"); base != name && slices.Contains(were, base) && !result.Root().Get(base).Exists() {
				t.Fatalf("%s stays without %s:\n%s", name, base, got)
			}
		}
		gone := kept < len(slices.DeleteFunc(were, func(n string) bool { return n == "meta" })) || strings.Count(got, "interpretation") < strings.Count(raw, "interpretation")
		if strings.Count(got, "SUBSETTED") == 1 != gone || !gone && got != raw {
			t.Fatalf("something is gone: %v, of\n%s\nunder %+v:\n%s", gone, raw, view, got)
		}
	})
}

func FuzzCut(f *testing.F) {
	f.Add(`{"resourceType":"Observation","id":"o","component":[{"code":{},"interpretation":[]}],"note":[]}`, "code,value", "true")
	f.Add(`{"a":1,"meta":{"tag":[{}]},"resourceType":"Patient"}`, "name", "text")
	f.Fuzz(func(t *testing.T, raw, elements, summary string) {
		r, err := fhir.ParseResource([]byte(raw))
		if err != nil {
			return
		}
		for _, v := range []subset.View{{Elements: strings.Split(elements, ",")}, {Summary: summary}} {
			got := r.Splice(v.Edits(r))
			again, err := fhir.ParseResource(got)
			if err != nil || again.Type() != r.Type() || again.ID() != r.ID() {
				t.Fatalf("%v: %s", err, got)
			}
		}
	})
}
