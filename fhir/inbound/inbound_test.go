package inbound_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/inbound"
)

func base(t testing.TB, s string) fhir.Base {
	t.Helper()
	b, err := fhir.ParseBase(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func reader(t testing.TB) inbound.Reader {
	return inbound.Reader{Public: base(t, "https://portico.example/fhir/north"), Upstream: base(t, "https://ehr.internal/r4")}
}

func basic(more string) string { return `{"resourceType":"Basic"` + more + `}` }

func div(inner string) string {
	return basic(`,"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">` + inner + `</div>"}`)
}

func TestWhatIsNotTaken(t *testing.T) {
	rd := reader(t)
	for name, body := range map[string]string{
		"no JSON":                        `{`,
		"a list":                         `[]`,
		"a name twice":                   basic(`,"a":1,"a":2`),
		"bad UTF-8":                      basic(",\"a\":\"\xff\""),
		"two documents":                  basic("") + basic(""),
		"a name in capitals":             basic(`,"Subject":{}`),
		"two names that differ in case":  basic(`,"subject":{},"sUbject":{}`),
		"a name like reference":          basic(`,"subject":{"Reference":"Patient/a"}`),
		"a name like reference, lower":   basic(`,"subject":{"rEference":"Patient/a"}`),
		"a name with a space":            basic(`,"a b":1`),
		"an empty name":                  basic(`,"":1`),
		"implicitRules":                  basic(`,"implicitRules":"http://x"`),
		"implicitRules of a contained":   basic(`,"contained":[{"resourceType":"Organization","id":"o","implicitRules":"http://x"}]`),
		"a resource inside":              basic(`,"subject":{"resourceType":"Patient"}`),
		"contained in a contained":       basic(`,"contained":[{"resourceType":"Organization","id":"o","contained":[]}]`),
		"contained without an id":        basic(`,"contained":[{"resourceType":"Organization"}]`),
		"two contained of an id":         basic(`,"contained":[{"resourceType":"Organization","id":"o"},{"resourceType":"Patient","id":"o"}]`),
		"a number as a reference":        basic(`,"subject":{"reference":1}`),
		"a list as a reference":          basic(`,"subject":{"reference":["Patient/a"]}`),
		"an empty reference":             basic(`,"subject":{"reference":""}`),
		"a space before it":              basic(`,"subject":{"reference":" Patient/a"}`),
		"a slash before it":              basic(`,"subject":{"reference":"/Patient/a"}`),
		"a way up":                       basic(`,"subject":{"reference":"../Patient/a"}`),
		"a conditional reference":        basic(`,"subject":{"reference":"Patient?identifier=x"}`),
		"urn:uuid":                       basic(`,"subject":{"reference":"urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"}`),
		"another server":                 basic(`,"subject":{"reference":"https://other.example/fhir/Patient/a"}`),
		"the EHR itself":                 basic(`,"subject":{"reference":"https://ehr.internal/r4/Patient/a"}`),
		"a base like ours":               basic(`,"subject":{"reference":"https://portico.example/fhir/north2/Patient/a"}`),
		"another source of ours":         basic(`,"subject":{"reference":"https://portico.example/fhir/south/Patient/a"}`),
		"contained that is not there":    basic(`,"subject":{"reference":"#p"}`),
		"the wrong type":                 basic(`,"subject":{"reference":"Patient/a","type":"Group"}`),
		"the wrong type of a contained":  basic(`,"contained":[{"resourceType":"Organization","id":"o"}],"x":{"reference":"#o","type":"Patient"}`),
		"an identifier beside a patient": basic(`,"subject":{"reference":"Patient/a","identifier":{"value":"1"}}`),
		"a patient by identifier":        basic(`,"subject":{"type":"Patient","identifier":{"value":"1"}}`),
		"a patient by identifier, URI":   basic(`,"subject":{"type":"http://hl7.org/fhir/StructureDefinition/Patient","identifier":{"value":"1"}}`),
		"anybody by identifier":          basic(`,"subject":{"identifier":{"value":"1"}}`),
		"a relative by identifier":       basic(`,"subject":{"type":"RelatedPerson","identifier":{"value":"1"},"display":"x"}`),
		"a patient by name":              basic(`,"subject":{"type":"Patient","display":"Bob"}`),
		"an attachment elsewhere":        basic(`,"content":{"url":"https://files.example/a.pdf"}`),
		"an attachment at the EHR":       basic(`,"content":{"url":"https://ehr.internal/r4/Binary/1"}`),
		"a file of this machine":         basic(`,"content":{"url":"file:///etc/passwd"}`),
		"data in a URL":                  basic(`,"content":{"url":"data:text/html,x"}`),
		"a path as attachment":           basic(`,"content":{"url":"/Binary/1"}`),
		"an extension as a way":          basic(`,"extension":[{"url":"Binary/1","valueBoolean":true}]`),
		"an extension at the EHR":        basic(`,"extension":[{"url":"https://ehr.internal/r4/Binary/1","valueBoolean":true}]`),
		"a URI of a record":              basic(`,"extension":[{"url":"http://x/e","valueUri":"https://other.example/fhir/Patient/b"}]`),
		"a URL of a record":              basic(`,"extension":[{"url":"http://x/e","valueUrl":"https://other.example/fhir/Patient/b"}]`),
		"a canonical of a record":        basic(`,"extension":[{"url":"http://x/e","valueCanonical":"https://ehr.internal/r4/Patient/b"}]`),
		"an escaped URI of a record":     basic(`,"extension":[{"url":"http://x/e","valueUri":"https://other.example/fhir/Patient%2Fb"}]`),
		"a record in a fragment":         basic(`,"extension":[{"url":"http://x/e","valueUri":"https://other.example/app#/Patient/b"}]`),
		"a record with a backslash":      basic(`,"extension":[{"url":"http://x/e","valueUri":"https://other.example\\Patient\\b"}]`),
		"a URI of ours that is none":     basic(`,"extension":[{"url":"http://x/e","valueUri":"https://portico.example/fhir/north/$export"}]`),
		"a record as a text":             basic(`,"code":{"text":"https://other.example/fhir/Patient/b"}`),
		"a record as a list item":        basic(`,"instantiatesUri":["https://other.example/fhir/Observation/b"]`),
		"a record with space around":     basic(`,"instantiatesUri":[" https://other.example/fhir/Patient/b "]`),
		"a record as a system":           basic(`,"identifier":[{"system":"https://other.example/fhir/Patient/b","value":"1"}]`),
		"text without a div":             basic(`,"text":{"status":"empty"}`),
		"text that is a text":            basic(`,"text":"x"`),
		"text with more":                 basic(`,"text":{"status":"empty","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"/>","script":"x"}`),
		"no div":                         strings.Replace(div("x"), "<div", "<p", 1),
		"no namespace":                   basic(`,"text":{"status":"generated","div":"<div>x</div>"}`),
		"not closed":                     div("<p>"),
		"two divs":                       strings.Replace(div("x"), `</div>`, `</div><div xmlns=\"http://www.w3.org/1999/xhtml\"/>`, 1),
		"a script":                       div(`<script>alert(1)</script>`),
		"a script in capitals":           div(`<SCRIPT>alert(1)</SCRIPT>`),
		"a script in a namespace":        div(`<s:script xmlns:s=\"http://www.w3.org/1999/xhtml\">alert(1)</s:script>`),
		"a script in SVG":                div(`<svg xmlns=\"http://www.w3.org/2000/svg\"><script>x</script></svg>`),
		"an event":                       div(`<p onclick=\"x\">x</p>`),
		"an event in capitals":           div(`<p OnClick=\"x\">x</p>`),
		"a style":                        div(`<p style=\"background:url(http://x)\">x</p>`),
		"a style sheet":                  div(`<style>p{}</style>`),
		"an image":                       div(`<img src=\"http://x/y.png\"/>`),
		"a link":                         div(`<a href=\"javascript:x\">x</a>`),
		"a frame":                        div(`<iframe src=\"http://x\"/>`),
		"a form":                         div(`<form action=\"http://x\"><input/></form>`),
		"a base":                         div(`<base href=\"http://x\"/>`),
		"an object":                      div(`<object data=\"http://x\"/>`),
		"a comment":                      div(`<!-- --><p/>`),
		"CDATA":                          div(`<![CDATA[><img src=x onerror=x>]]>`),
		"a processing instruction":       div(`<?php x ?>`),
		"a document type":                strings.Replace(div("x"), `"<div`, `"<!DOCTYPE x><div`, 1),
		"an entity nobody knows":         div(`&x;`),
		"a namespaced attribute":         div(`<p xmlns:x=\"urn:x\" x:href=\"y\">x</p>`),
		"the text of a contained":        basic(`,"contained":[{"resourceType":"Organization","id":"o","text":{"status":"generated","div":"<script/>"}}]`),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := rd.Read([]byte(body))
			var refused *inbound.Error
			if !errors.As(err, &refused) {
				t.Fatalf("taken: %+v, %v", got, err)
			}
			for _, s := range []string{"internal", "other.example", "Patient/a", "alert"} {
				if strings.Contains(refused.Reason, s) {
					t.Errorf("says %q", refused.Reason)
				}
			}
		})
	}
}

// The EHR's own address is refused in the same words as any other: nobody can
// find it out by guessing.
func TestTheAddressOfTheEHRCannotBeGuessed(t *testing.T) {
	rd := reader(t)
	for _, form := range []string{
		`,"subject":{"reference":"%s/Patient/a"}`, `,"content":{"url":"%s/Binary/a"}`, `,"extension":[{"url":"%s/Binary/a"}]`,
		`,"extension":[{"url":"http://x/e","valueUri":"%s/Patient/a"}]`, `,"extension":[{"url":"http://x/e","valueUri":"%s"}]`, `,"instantiatesUri":["%s/Patient/a"]`, `,"instantiatesUri":["%s"]`,
	} {
		_, right := rd.Read([]byte(basic(fmt.Sprintf(form, "https://ehr.internal/r4"))))
		_, wrong := rd.Read([]byte(basic(fmt.Sprintf(form, "https://ehr.example/r4"))))
		if fmt.Sprint(right) != fmt.Sprint(wrong) {
			t.Errorf("%s: %v against %v", form, right, wrong)
		}
	}
}

func TestWhatIsTakenKeepsItsBytes(t *testing.T) {
	rd := reader(t)
	const ours = "https://portico.example/fhir/north/"
	for body, want := range map[string]string{
		basic(`, "n" : 1.500 ,"s":"\u00e9\/"`):                                                                                  "",
		basic(`,"subject":{"reference":"Patient/a","type":"Patient","display":"me"}`):                                           "",
		basic(`,"subject":{"reference":"` + ours + `Patient/a"}`):                                                               basic(`,"subject":{"reference":"Patient/a"}`),
		basic(`,"subject":{"reference":"https:\/\/portico.example\/fhir\/north\/Patient\/a"}`):                                  basic(`,"subject":{"reference":"Patient/a"}`),
		basic(`,"x":{"reference":"` + ours + `Observation/a/_history/2"}`):                                                      basic(`,"x":{"reference":"Observation/a/_history/2"}`),
		basic(`,"content":{"url":"` + ours + `Binary/a"}`):                                                                      basic(`,"content":{"url":"https://ehr.internal/r4/Binary/a"}`),
		basic(`,"extension":[{"url":"http://x/e","extension":[{"url":"part","valueUri":"http://loinc.org"}]}]`):                 "",
		basic(`,"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/Observation-x","valueString":"Patient/a"}]`):       "",
		basic(`,"managing":{"type":"Organization","identifier":{"value":"1"}}`):                                                 "",
		basic(`,"managing":{"reference":"Organization/o","identifier":{"value":"1"}}`):                                          "",
		basic(`,"managing":{"display":"somebody"},"note":[{"text":"Patient/caregiver education; see http://x/Patient/b now"}]`): "",
		basic(`,"contained":[{"resourceType":"Organization","id":"o"}],"managing":{"reference":"#o"}`):                          "",
		basic(`,"identifier":[{"system":"http://hospital.example/mrn","value":"1","type":{"text":"x"}}]`):                       "",
		basic(`,"_language":{"extension":[{"url":"http://x/e","valueCode":"x"}]}`):                                              "",
		div(`<p class=\"x\" title=\"&lt;\">a&nbsp;b<br/></p><table><tr><td colspan=\"2\">1</td></tr></table>`):                  "",
	} {
		if want == "" {
			want = body
		}
		d, err := rd.Read([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		r, err := d.Stored(nil, inbound.Writer{Base: rd.Upstream, Patient: "a"})
		if err != nil || string(r.Bytes()) != want {
			t.Errorf("got  %s\nwant %s (%v)", r.Bytes(), want, err)
		}
	}
}

func TestEveryReferenceIsTold(t *testing.T) {
	d, err := reader(t).Read([]byte(basic(`,"subject":{"reference":"Patient/a"},"a":[{"b":{"reference":"Group/g"}}],"content":{"url":"Binary/b"},"extension":[{"url":"http://x/e","valueUri":"Device/d"},{"url":"http://x/e","valueReference":{"reference":"https://portico.example/fhir/north/Media/m"}}]`)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range d.References {
		got = append(got, r.Type+"/"+r.ID)
	}
	slices.Sort(got)
	if want := "[Binary/b Device/d Group/g Media/m Patient/a]"; fmt.Sprint(got) != want {
		t.Errorf("%v", got)
	}
}

func TestWhatWasThereMayStayWhereItWas(t *testing.T) {
	rd := reader(t)
	record := `{"resourceType":"Basic","id":"x","a":{"reference":"https://ehr.internal/r4/Patient/a"},"b":{"url":"https://files.internal/1"},"c":{"reference":"Group/g"}}`
	view := `{"resourceType":"Basic","id":"x","a":{"reference":"https://portico.example/fhir/north/Patient/a"},"b":{"url":"https://portico.example/sealed"},"c":{"reference":"Group/g"}}`
	v, _ := fhir.ParseNode([]byte(view))
	r, _ := fhir.ParseNode([]byte(record))
	rd.Known = inbound.KnownOf(v, r)
	before, err := fhir.ParseResource([]byte(record))
	if err != nil {
		t.Fatal(err)
	}
	d, err := rd.Read([]byte(view))
	if err != nil {
		t.Fatal(err)
	}
	stored, err := d.Stored(before, inbound.Writer{Base: rd.Upstream, Patient: "a"})
	if err != nil || string(stored.Bytes()) != record || len(d.References) != 0 {
		t.Errorf("%s %v %v", stored.Bytes(), d.References, err)
	}
	// The address of a file may not become a reference, nor the other way round.
	for _, moved := range []string{
		`{"resourceType":"Basic","id":"x","a":{"reference":"https://portico.example/sealed"}}`,
		`{"resourceType":"Basic","id":"x","b":{"url":"https://files.internal/1"}}`,
		`{"resourceType":"Basic","id":"x","a":{"reference":"https://ehr.internal/r4/Patient/a"}}`,
	} {
		if _, err := rd.Read([]byte(moved)); err == nil {
			t.Errorf("taken: %s", moved)
		}
	}
	if other, _ := fhir.ParseNode([]byte(`{"resourceType":"Basic"}`)); inbound.KnownOf(v, other) != nil {
		t.Error("two different resources are one")
	}
}

func FuzzRead(f *testing.F) {
	rd := reader(f)
	for _, s := range []string{
		basic(`,"subject":{"reference":"Patient/a"}`), basic(`,"subject":{"reference":"https://ehr.internal/r4/Patient/b"}`), div(`<p>x</p>`),
		basic(`,"contained":[{"resourceType":"Organization","id":"o"}],"x":{"reference":"#o"},"extension":[{"url":"u","valueUri":"Patient/b"}]`),
		basic(`,"content":{"url":"https://portico.example/fhir/north/Binary/a"}`),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := rd.Read(raw)
		if err != nil {
			return
		}
		r, err := d.Stored(nil, inbound.Writer{Base: rd.Upstream, Patient: "a", Person: fhir.Reference{Where: fhir.Local, Type: "Patient", ID: "a"}})
		if err != nil {
			return
		}
		// Whatever is taken: each reference names what was told, or a contained one.
		told := map[string]bool{}
		for _, to := range d.References {
			told[to.Type+"/"+to.ID] = true
		}
		r.Root().Descend(func(n fhir.Node) {
			literal := n.Get("reference")
			if !n.IsObject() || !literal.IsString() || n == r.Root() {
				return
			}
			to := rd.Upstream.Resolve(literal.Text())
			own := to.Is("Patient", "a") // set by us as the author
			if !own && to.Where != fhir.Contained && !told[to.Type+"/"+to.ID] {
				t.Fatalf("%q was not told of in %q", literal.Text(), raw)
			}
		})
	})
}
