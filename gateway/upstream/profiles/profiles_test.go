package profiles_test

import (
	"os"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/gateway/upstream/profiles"
)

func TestWhatAProfileMustNotSayIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                             "",
		"no mapping":                        "[]",
		"no name":                           "about: x",
		"a name with a path":                "name: ../x",
		"an unknown key":                    "name: x\nserach: {}",
		"an unknown key below":              "name: x\nsearch: {hwo: list}",
		"a key twice":                       "name: x\nname: y",
		"an anchor":                         "name: &a x\nabout: *a",
		"a tag":                             "name: !!str x",
		"a merge key":                       "name: x\n<<: {about: y}",
		"two documents":                     "name: x\n---\nname: y",
		"another type of value":             "name: x\nsearch: {max_count: many}",
		"a negative page":                   "name: x\nsearch: {max_count: -1}",
		"a way there is not":                "name: x\nsearch: {how: magic}",
		"a parameter there is not":          "name: x\nsearch: {never: [nonsense]}",
		"a type there is not":               "name: x\ntypes: {Nonsense: {}}",
		"a parameter the type has not":      "name: x\ntypes: {Patient: {only: [authoredon]}}",
		"a rename to nothing":               "name: x\ntypes: {Patient: {rename: {name: nonsense}}}",
		"a fan-out without values":          "name: x\ntypes: {Observation: {fan_out: {param: category}}}",
		"a fan-out of something else":       "name: x\ntypes: {Observation: {one_of: [code], fan_out: {param: category, values: [a]}}}",
		"a value that cannot be":            "name: x\ntypes: {Observation: {always: {date: yesterday}}}",
		"a file outside":                    "name: x\nfiles: {read: [\"../{type}/{id}\"]}",
		"a file with a query":               "name: x\nfiles: {list: [\"{type}?a=b\"]}",
		"a file on another host":            "name: x\nfiles: {list: [\"http://h/{type}\"]}",
		"a file without a type":             "name: x\nfiles: {list: [all.json]}",
		"a list for each id":                "name: x\nfiles: {list: [\"{type}/{id}\"]}",
		"an absolute file":                  "name: x\nfiles: {list: [\"/{type}\"]}",
		"an alias that is no base":          "name: x\nnext: {aliases: [\"ftp://h/\"]}",
		"ids that are no expression":        "name: x\nids: \"(\"",
		"a media type with a parameter":     "name: x\nhttp: {media_types: [\"text/plain; q=1\"]}",
		"an Accept that is two headers":     "name: x\nhttp: {accept: \"a/b\\r\\nAuthorization: x\"}",
		"offers of a type there is not":     "name: x\noffers: [Nonsense]",
		"a parameter of R4 to every search": "name: x\nsearch: {add: {status: final}}",
		"a control to every search":         "name: x\nsearch: {add: {_count: \"1\"}}",
		"a parameter with a modifier":       "name: x\nsearch: {add: {\"tenant:exact\": a}}",
		"a parameter that is two":           "name: x\nsearch: {add: {\"a=b&c\": a}}",
		"a value of two lines":              "name: x\nsearch: {add: {tenant: \"a\\nb\"}}",
		"an empty value":                    "name: x\nsearch: {add: {tenant: \"\"}}",
		"a form of reference there is not":  "name: x\nsearch: {patients: urn}",
		"an offset that is no name":         "name: x\nnext: {offset: \"a=b&c\"}",
	} {
		if p, err := profiles.Parse([]byte(text)); err == nil {
			t.Errorf("%s: read as %+v", name, p)
		}
	}
	if _, err := profiles.Parse([]byte("name: x\nabout: \"" + strings.Repeat("x", 300<<10) + "\"")); err == nil {
		t.Error("a file of any size is read")
	}
}

func TestAnOperatorsProfileSaysWhatDiffersFromAnother(t *testing.T) {
	built, err := profiles.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	set, err := built.With(map[string][]byte{
		"a.yaml": []byte("name: ours\nextends: theirs\nsearch: {max_count: 7}\ntypes:\n  CarePlan: {never: [date]}\n"),
		"b.yaml": []byte("name: theirs\nextends: epic\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	ours, _ := set.Get("ours")
	if ours.Search.MaxCount != 7 || ours.Search.Unstated != profiles.Drop || len(ours.Types["Observation"].OneOf) != 2 || len(ours.Types["CarePlan"].OneOf) != 0 {
		t.Errorf("%+v", ours)
	}
	if _, there := built.Get("ours"); there {
		t.Error("the set it was added to has changed")
	}
	for name, files := range map[string]map[string][]byte{
		"a name that is taken":          {"a": []byte("name: epic")},
		"a name twice":                  {"a": []byte("name: x"), "b": []byte("name: x")},
		"nothing to extend":             {"a": []byte("name: x\nextends: y")},
		"a circle":                      {"a": []byte("name: x\nextends: y"), "b": []byte("name: y\nextends: x")},
		"itself":                        {"a": []byte("name: x\nextends: x")},
		"a broken file among good":      {"a": []byte("name: x"), "b": []byte("name: [")},
		"a fan-out that no longer fits": {"a": []byte("name: x\nextends: epic\ntypes: {Observation: {one_of: [code], fan_out: {param: category, values: [a]}}}")},
	} {
		if _, err := built.With(files); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestTheBuiltInProfilesAreThere(t *testing.T) {
	set, err := profiles.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	want := "athenahealth epic generic hapi medplum naive oracle-health"
	if got := strings.Join(set.Names(), " "); got != want {
		t.Errorf("%s", got)
	}
	for _, name := range set.Names() {
		p, _ := set.Get(name)
		if p.About == "" || p.Plain() != (name == "generic") {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if p, ok := set.Get(""); !ok || p.Name != profiles.Default {
		t.Error("no default")
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"name: x", "name: x\ntypes: {Observation: {one_of: [category], fan_out: {param: category, values: [a]}}}",
		"name: x\nfiles: {read: [\"{type}/{id}.json\"]}", "name: &a [*a]", "? [a]: b", "name: x\nids: \"[a-z]+\"", "{", "- -\n -", "name: \"\\u0000\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := profiles.Parse(raw)
		if err != nil {
			return
		}
		if p.Name == "" || strings.ContainsAny(p.HTTP.Accept, "\r\n") {
			t.Errorf("%+v", p)
		}
		p.ID()
		for typ := range p.Types {
			p.Of(typ)
		}
	})
}

func TestTheDocumentedProfileIsOne(t *testing.T) {
	page, err := os.ReadFile("../../../docs/upstreams.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(page), "```yaml\nname: our-ehr")
	text, _, closed := strings.Cut(after, "```")
	if !found || !closed {
		t.Fatal("there is none")
	}
	built, err := profiles.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := built.With(map[string][]byte{"docs": []byte("name: our-ehr" + text)}); err != nil {
		t.Error(err)
	}
}
