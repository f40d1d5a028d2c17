package patch_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/patch"
)

var limits = patch.Limits{Operations: 20, Bytes: 1 << 16}

func TestPatchesThatAreRefused(t *testing.T) {
	const doc = `{"a":{"b":1},"list":[1,2],"s":"x"}`
	for name, tt := range map[string]struct {
		patch     string
		malformed bool
	}{
		"no array":                     {`{"op":"remove","path":"/a"}`, true},
		"no JSON":                      {`[`, true},
		"nothing":                      {``, true},
		"no operations":                {`[]`, true},
		"a name twice":                 {`[{"op":"remove","path":"/a","path":"/s"}]`, true},
		"bad UTF-8":                    {"[{\"op\":\"remove\",\"path\":\"/\xff\"}]", true},
		"no object":                    {`["remove"]`, true},
		"no op":                        {`[{"path":"/a"}]`, true},
		"an unknown op":                {`[{"op":"spam","path":"/a"}]`, true},
		"an op in another case":        {`[{"op":"Remove","path":"/a"}]`, true},
		"no path":                      {`[{"op":"remove"}]`, true},
		"a path that is a number":      {`[{"op":"remove","path":1}]`, true},
		"a path without a slash":       {`[{"op":"remove","path":"a"}]`, true},
		"a FHIRPath":                   {`[{"op":"remove","path":"Patient.name"}]`, true},
		"a bad escape":                 {`[{"op":"remove","path":"/a~2"}]`, true},
		"an escape cut short":          {`[{"op":"remove","path":"/a~"}]`, true},
		"add without value":            {`[{"op":"add","path":"/x"}]`, true},
		"test without value":           {`[{"op":"test","path":"/s"}]`, true},
		"move without from":            {`[{"op":"move","path":"/x"}]`, true},
		"move into itself":             {`[{"op":"move","from":"/a","path":"/a/c"}]`, true},
		"too many":                     {`[` + strings.Repeat(`{"op":"test","path":"/s","value":"x"},`, 20) + `{"op":"remove","path":"/a"}]`, true},
		"a place that is not there":    {`[{"op":"remove","path":"/none"}]`, false},
		"replace what is not there":    {`[{"op":"replace","path":"/none","value":1}]`, false},
		"add below what is not there":  {`[{"op":"add","path":"/none/x","value":1}]`, false},
		"add below a text":             {`[{"op":"add","path":"/s/x","value":1}]`, false},
		"an index beyond the end":      {`[{"op":"add","path":"/list/3","value":1}]`, false},
		"an index with a zero":         {`[{"op":"replace","path":"/list/01","value":1}]`, false},
		"an index with a sign":         {`[{"op":"replace","path":"/list/-1","value":1}]`, false},
		"an index that is huge":        {`[{"op":"replace","path":"/list/99999999999999999999","value":1}]`, false},
		"the end of a list is no item": {`[{"op":"remove","path":"/list/-"}]`, false},
		"the whole document":           {`[{"op":"remove","path":""}]`, false},
		"another case":                 {`[{"op":"remove","path":"/A"}]`, false},
		"a test that fails":            {`[{"op":"remove","path":"/a"},{"op":"test","path":"/s","value":"y"}]`, false},
		"growing without end":          {`[` + strings.TrimSuffix(strings.Repeat(`{"op":"copy","from":"","path":"/list/-"},`, 20), ",") + `]`, false},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := patch.Apply([]byte(doc), []byte(tt.patch), limits)
			var e *patch.Error
			if !errors.As(err, &e) || e.Malformed != tt.malformed {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
}

// RFC 6902, Appendix A. What follows from the bytes staying as they were is
// written without the RFC's whitespace.
func TestAppendixAOfRFC6902(t *testing.T) {
	for name, tt := range map[string]struct{ doc, patch, want string }{
		"A.1 adding an object member":           {`{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux"}]`, `{"foo":"bar","baz":"qux"}`},
		"A.2 adding an array element":           {`{"foo":["bar","baz"]}`, `[{"op":"add","path":"/foo/1","value":"qux"}]`, `{"foo":["bar","qux","baz"]}`},
		"A.3 removing an object member":         {`{"baz":"qux","foo":"bar"}`, `[{"op":"remove","path":"/baz"}]`, `{"foo":"bar"}`},
		"A.4 removing an array element":         {`{"foo":["bar","qux","baz"]}`, `[{"op":"remove","path":"/foo/1"}]`, `{"foo":["bar","baz"]}`},
		"A.5 replacing a value":                 {`{"baz":"qux","foo":"bar"}`, `[{"op":"replace","path":"/baz","value":"boo"}]`, `{"baz":"boo","foo":"bar"}`},
		"A.6 moving a value":                    {`{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}`, `[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]`, `{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}`},
		"A.7 moving an array element":           {`{"foo":["all","grass","cows","eat"]}`, `[{"op":"move","from":"/foo/1","path":"/foo/3"}]`, `{"foo":["all","cows","eat","grass"]}`},
		"A.8 testing a value: success":          {`{"baz":"qux","foo":["a",2,"c"]}`, `[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]`, `{"baz":"qux","foo":["a",2,"c"]}`},
		"A.9 testing a value: error":            {`{"baz":"qux"}`, `[{"op":"test","path":"/baz","value":"bar"}]`, ""},
		"A.10 adding a nested member object":    {`{"foo":"bar"}`, `[{"op":"add","path":"/child","value":{"grandchild":{}}}]`, `{"foo":"bar","child":{"grandchild":{}}}`},
		"A.11 ignoring unrecognized elements":   {`{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux","xyz":123}]`, `{"foo":"bar","baz":"qux"}`},
		"A.12 adding to a nonexistent target":   {`{"foo":"bar"}`, `[{"op":"add","path":"/baz/bat","value":"qux"}]`, ""},
		"A.13 invalid JSON Patch document":      {`{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux","op":"remove"}]`, ""},
		"A.14 ~ escape ordering":                {`{"/":9,"~1":10}`, `[{"op":"test","path":"/~01","value":10}]`, `{"/":9,"~1":10}`},
		"A.15 comparing strings and numbers":    {`{"/":9,"~1":10}`, `[{"op":"test","path":"/~01","value":"10"}]`, ""},
		"A.16 adding an array value":            {`{"foo":["bar"]}`, `[{"op":"add","path":"/foo/-","value":["abc","def"]}]`, `{"foo":["bar",["abc","def"]]}`},
		"§4.1 adding a member that is there":    {`{"foo":null}`, `[{"op":"add","path":"/foo","value":1}]`, `{"foo":1}`},
		"§4.1 adding the whole document":        {`{"foo":null}`, `[{"op":"add","path":"","value":[]}]`, `[]`},
		"§4.4 moving to itself":                 {`{"a":[1]}`, `[{"op":"move","from":"/a/0","path":"/a/0"}]`, `{"a":[1]}`},
		"§4.5 copying":                          {`{"a":[1.50]}`, `[{"op":"copy","from":"/a/0","path":"/a/0"}]`, `{"a":[1.50,1.50]}`},
		"§4.6 numbers by value":                 {`{"a":[1.50,-0,1e2,0.001]}`, `[{"op":"test","path":"/a","value":[15E-1,0.0,100,1e-3]}]`, `{"a":[1.50,-0,1e2,0.001]}`},
		"§4.6 other numbers":                    {`{"a":1e999999999999}`, `[{"op":"test","path":"/a","value":1e99999999999}]`, ""},
		"§4.6 objects whatever the order":       {`{"a":{"b":1,"c":[{}]}}`, `[{"op":"test","path":"/a","value":{"c":[{}],"b":1}}]`, `{"a":{"b":1,"c":[{}]}}`},
		"§4.6 null is neither false nor absent": {`{"a":null}`, `[{"op":"test","path":"/a","value":false}]`, ""},
		"the last of several members":           {"{ \"a\" : 1.00 ,\n \"b\" : 2 }", `[{"op":"remove","path":"/b"}]`, "{ \"a\" : 1.00 }"},
		"the only member":                       {`{"a":1}`, `[{"op":"remove","path":"/a"},{"op":"add","path":"/b","value":2}]`, `{"b":2}`},
		"an escaped name":                       {`{"\u0061":1}`, `[{"op":"replace","path":"/a","value":2}]`, `{"\u0061":2}`},
		"a name with a quote":                   {`{}`, `[{"op":"add","path":"/\"x","value":2}]`, `{"\"x":2}`},
		"bytes that are not named stay":         {"{\"x\":\"\\u00e9\\/\" , \"d\":1.500e0,\"l\":[ ]}", `[{"op":"add","path":"/l/-","value":0.10}]`, "{\"x\":\"\\u00e9\\/\" , \"d\":1.500e0,\"l\":[ 0.10]}"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := patch.Apply([]byte(tt.doc), []byte(tt.patch), limits)
			if string(got) != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("got %s (%v), want %s", got, err, tt.want)
			}
		})
	}
}

// What is added and taken away again leaves every byte as it was.
func TestAddingAndRemovingLeavesTheBytes(t *testing.T) {
	docs := []string{`{"a":[1,{"b":[]}],"c":{}}`, `{ "a" : [ 1 , 2.50 ] }`, `{"é":{"x":null}}`}
	rapid.Check(t, func(t *rapid.T) {
		doc := rapid.SampledFrom(docs).Draw(t, "doc")
		path := rapid.SampledFrom([]string{"/new", "/a/0", "/a/1"}).Draw(t, "path")
		value := rapid.SampledFrom([]string{`1.00`, `{"k":[1]}`, `"\u0041"`, `[]`}).Draw(t, "value")
		out, err := patch.Apply([]byte(doc), []byte(`[{"op":"add","path":"`+path+`","value":`+value+`},{"op":"test","path":"`+path+`","value":`+value+`},{"op":"remove","path":"`+path+`"}]`), limits)
		if err != nil {
			if strings.HasPrefix(path, "/a") && !strings.Contains(doc, `"a"`) {
				return
			}
			t.Fatal(err)
		}
		if string(out) != doc {
			t.Fatalf("%s became %s", doc, out)
		}
	})
}

func FuzzApply(f *testing.F) {
	for _, s := range [][2]string{
		{`{"a":[1,2,{"b":null}]}`, `[{"op":"move","from":"/a/0","path":"/a/2"}]`},
		{`{"a":1}`, `[{"op":"copy","from":"","path":"/a"},{"op":"test","path":"/a/a","value":1}]`},
		{`{"~":1,"/":2}`, `[{"op":"remove","path":"/~0"},{"op":"replace","path":"/~1","value":{}}]`},
		{`[]`, `[{"op":"add","path":"/-","value":1e5},{"op":"add","path":"/0","value":"\ud83d\ude00"}]`},
	} {
		f.Add([]byte(s[0]), []byte(s[1]))
	}
	f.Fuzz(func(t *testing.T, doc, p []byte) {
		before := string(doc)
		out, err := patch.Apply(doc, p, limits)
		if string(doc) != before {
			t.Fatal("the document was changed")
		}
		if err == nil {
			if _, err := fhir.ParseNode(out); err != nil {
				t.Fatalf("%q with %q gave %q: %v", doc, p, out, err)
			}
		}
	})
}
