package fhir_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/portico-fhir/portico/fhir"
)

func TestParseResourceRefusesWhatTwoReadersCouldUnderstandDifferently(t *testing.T) {
	for name, raw := range map[string]string{
		"duplicate name":             `{"resourceType":"Observation","subject":{"reference":"Patient/a"},"subject":{"reference":"Patient/b"}}`,
		"duplicate name by escape":   `{"resourceType":"Observation","subject":1,"\u0073ubject":2}`,
		"duplicate deep inside":      `{"resourceType":"Observation","code":{"text":"a","text":"b"}}`,
		"bad UTF-8":                  "{\"resourceType\":\"Observation\",\"a\":\"\xff\"}",
		"lone surrogate":             `{"resourceType":"Observation","a":"\ud800"}`,
		"second value":               `{"resourceType":"Observation"}{"resourceType":"Observation"}`,
		"trailing comma":             `{"resourceType":"Observation",}`,
		"byte order mark":            "\ufeff" + `{"resourceType":"Observation"}`,
		"array":                      `[{"resourceType":"Observation"}]`,
		"no type":                    `{"id":"a"}`,
		"type of another case":       `{"ResourceType":"Observation"}`,
		"type that is a path":        `{"resourceType":"../Patient"}`,
		"type that is no string":     `{"resourceType":["Observation"]}`,
		"id that is a path":          `{"resourceType":"Observation","id":"a/b"}`,
		"id that is a parent folder": `{"resourceType":"Observation","id":".."}`,
		"id that is a number":        `{"resourceType":"Observation","id":7}`,
		"empty":                      ``,
		"HTML":                       `<html>`,
		"truncated":                  `{"resourceType":"Observation","id":"a`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := fhir.ParseResource([]byte(raw)); err == nil {
				t.Errorf("%q was accepted", raw)
			} else if strings.Contains(err.Error(), "Patient") {
				t.Errorf("the error holds content: %v", err)
			}
		})
	}
}

func TestResourceKeepsItsBytesAndFindsItsElements(t *testing.T) {
	raw := []byte("{ \"resourceType\" : \"Observation\",\r\n\t\"id\":\"o-1\", \"meta\":{\"versionId\":\"7\"},\"\\u0073ubject\":{\"reference\":\"Patient\\/me\"}, \"valueQuantity\":{\"value\":1.00}, \"_status\":{\"extension\":[]} }")
	r, err := fhir.ParseResource(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.Bytes(), raw) {
		t.Error("bytes changed")
	}
	if r.Type() != "Observation" || r.ID() != "o-1" || r.VersionID() != "7" {
		t.Errorf("type %q, id %q, version %q", r.Type(), r.ID(), r.VersionID())
	}
	if got := r.Root().Get("subject").Get("reference").Text(); got != "Patient/me" {
		t.Errorf("an escaped name or value was not read: %q", got)
	}
	if got := string(r.Root().Get("valueQuantity").Get("value").Raw()); got != "1.00" {
		t.Errorf("decimal: %q", got)
	}
}

func TestAtGoesThroughArraysAndStopsWhenAsked(t *testing.T) {
	n, err := fhir.ParseNode([]byte(`{"a":[{"b":1},{"b":[2,3]},{"c":4},5]}`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for v := range n.At("a", "b") {
		got = append(got, v.Text())
		if v.Text() == "2" {
			break
		}
	}
	if strings.Join(got, " ") != "1 2" {
		t.Errorf("got %v", got)
	}
	for range n.At("x", "y", "z") {
		t.Error("an absent path has values")
	}
}

func TestResolveProvesOnlyThisUpstreamsOwn(t *testing.T) {
	base, err := fhir.ParseBase("https://EHR.example.org:443/api/FHIR/R4/")
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]fhir.Where{
		"Patient/me":            fhir.Local,
		"Patient/me/_history/3": fhir.Local,
		"https://ehr.example.org/api/FHIR/R4/Patient/me":          fhir.Local,
		"HTTPS://ehr.example.org:443/api/FHIR/R4/Patient/me":      fhir.Local,
		"http://ehr.example.org/api/FHIR/R4/Patient/me":           fhir.Foreign,
		"https://ehr.example.org/api/fhir/r4/Patient/me":          fhir.Foreign,
		"https://ehr.example.org/api/FHIR/R4x/Patient/me":         fhir.Foreign,
		"https://ehr.example.org.evil.org/api/FHIR/R4/Patient/me": fhir.Foreign,
		"https://ehr.example.org@evil.org/api/FHIR/R4/Patient/me": fhir.Foreign,
		"https://me@ehr.example.org/api/FHIR/R4/Patient/me":       fhir.Foreign,
		"https://ehr.example.org/api/FHIR/R4/../R4/Patient/me":    fhir.Unusable,
		"https://ehr.example.org/api/FHIR/R4/Patient/me?x=1":      fhir.Unusable,
		"https://ehr.example.org/api/FHIR/R4/Patient/me#x":        fhir.Unusable,
		"urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7":           fhir.Foreign,
		"#me":                      fhir.Contained,
		"":                         fhir.Unusable,
		"me":                       fhir.Unusable,
		"/Patient/me":              fhir.Unusable,
		"Patient/me/":              fhir.Unusable,
		"Patient//me":              fhir.Unusable,
		"patient/me":               fhir.Unusable,
		"Patient/me?x":             fhir.Unusable,
		"Patient/me#frag":          fhir.Unusable,
		"Patient?identifier=x":     fhir.Unusable,
		"Patient/me/Observation/x": fhir.Unusable,
		"Patient/%6de":             fhir.Unusable,
		"Patient/..":               fhir.Unusable,
		" Patient/me":              fhir.Unusable,
		"//ehr.example.org/api/FHIR/R4/Patient/me": fhir.Unusable,
	} {
		if got := base.Resolve(ref); got.Where != want {
			t.Errorf("Resolve(%q) = %+v, want where %d", ref, got, want)
		}
	}
	if !base.Resolve("Patient/me/_history/3").Is("Patient", "me") {
		t.Error("a version of mine is not mine")
	}
	if base.Resolve("#me").Is("", "me") || (fhir.Reference{Where: fhir.Local, Type: "Patient"}).Is("Patient", "") {
		t.Error("an empty id or a contained resource is the patient")
	}
}

func TestParseBaseRefusesWhatIsNoBase(t *testing.T) {
	for _, s := range []string{"", "ehr.example.org/fhir", "ftp://ehr/fhir", "https://u:p@ehr/fhir", "https://ehr/fhir?x=1", "https://ehr/fhir#x", "https:///fhir", "://"} {
		if _, err := fhir.ParseBase(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

func TestSpliceChangesListedPlacesOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "raw")
		var edits []fhir.Edit
		var want []byte
		at := 0
		for at < len(raw) {
			keep := rapid.IntRange(0, len(raw)-at).Draw(t, "keep")
			want = append(want, raw[at:at+keep]...)
			at += keep
			cut := rapid.IntRange(0, len(raw)-at).Draw(t, "cut")
			if cut == 0 {
				if keep == 0 {
					want = append(want, raw[at])
					at++
				}
				continue
			}
			with := rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "with")
			edits = append(edits, fhir.Edit{Start: at, End: at + cut, With: with})
			want = append(want, with...)
			at += cut
		}
		for i := range edits { // any order
			j := rapid.IntRange(0, i).Draw(t, "swap")
			edits[i], edits[j] = edits[j], edits[i]
		}
		if got := fhir.Splice(raw, 0, len(raw), edits); !bytes.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestSpliceKeepsTheOuterOfTwoOverlappingEdits(t *testing.T) {
	raw := []byte(`{"actor":{"reference":"http://ehr/Patient/b"}}`)
	mask := fhir.Edit{Start: 9, End: 45, With: []byte(`{}`)}
	inner := fhir.Edit{Start: 22, End: 44, With: []byte(`"http://portico/Patient/b"`)}
	for _, edits := range [][]fhir.Edit{{mask, inner}, {inner, mask}} {
		if got := string(fhir.Splice(raw, 0, len(raw), edits)); got != `{"actor":{}}` {
			t.Errorf("got %s", got)
		}
	}
}
