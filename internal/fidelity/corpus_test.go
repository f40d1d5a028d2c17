// Package fidelity_test holds the promise that resources leave Portico as the
// bytes that came from the EHR. It serves files byte for byte from an upstream
// of its own, asks for each of them through the gateway, and compares; what the
// gateway is meant to change, the test changes in the expectation by its own
// code and names. It shares no code with the path it judges, except the owner
// table that says what may be asked for at all.
package fidelity_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
)

// key names a resource: "Observation/bmi".
type key struct{ Type, ID string }

func (k key) String() string { return k.Type + "/" + k.ID }

// item is one resource as the upstream has it.
type item struct {
	key
	raw      []byte
	resource *fhir.Resource // nil when the bytes are no resource
}

// corpus is a set of resources as bytes, by type in the order of their ids.
type corpus struct {
	byType map[string][]*item
	byKey  map[key]*item
}

func newCorpus() *corpus {
	return &corpus{byType: map[string][]*item{}, byKey: map[key]*item{}}
}

// load adds every .json file of dir that is a resource of a type which Portico
// serves, after change. A file is called Type-id.json, more or less: what the
// bytes say counts, and the name where they cannot be read.
func (c *corpus) load(t *testing.T, dir string, change func([]byte) []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no resources in %s (%v)", dir, err)
	}
	for _, file := range files {
		typ, id, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), "-")
		if !compartment.Of(typ).Class.Served() {
			continue
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		i := &item{key: key{typ, id}, raw: change(raw)}
		if r, err := fhir.ParseResource(bytes.TrimSpace(i.raw)); err == nil {
			i.key, i.resource = key{r.Type(), r.ID()}, r
		}
		if c.byKey[i.key] != nil {
			t.Fatalf("%s: %s is there twice", file, i.key)
		}
		c.byKey[i.key] = i
		c.byType[i.Type] = append(c.byType[i.Type], i)
	}
	for _, items := range c.byType {
		slices.SortFunc(items, func(a, b *item) int { return strings.Compare(a.ID, b.ID) })
	}
}

func asItIs(raw []byte) []byte { return raw }

// patients gives the patients of the corpus and those whom its references name:
// records of a patient may be there without the Patient.
func (c *corpus) patients(base fhir.Base) []string {
	found := map[string]bool{}
	for k, i := range c.byKey {
		if k.Type == "Patient" {
			found[k.ID] = true
		}
		i.resource.Root().Descend(func(n fhir.Node) {
			if to := base.Resolve(n.Get("reference").Text()); to.Where == fhir.Local && to.Type == "Patient" {
				found[to.ID] = true
			}
		})
	}
	var out []string
	for id := range found {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// belongs says which resources are to be served to a patient: what the owner
// table calls theirs, what points to theirs alone, what theirs points to, and
// the directory.
func (c *corpus) belongs(base fhir.Base, patient string) map[key]bool {
	whose := compartment.Whose{Base: base, Patient: patient}
	mine := map[key]bool{}
	for k, i := range c.byKey {
		if m := whose.Member(i.resource); m == compartment.Mine || m == compartment.Common {
			mine[k] = true
		}
	}
	for grown := true; grown; {
		grown = false
		for k, i := range c.byKey {
			if mine[k] || whose.Member(i.resource) == compartment.Foreign {
				continue
			}
			rule := compartment.Of(k.Type)
			if rule.Class == compartment.Through && c.throughMine(base, rule, i.resource, mine) ||
				rule.Class == compartment.Reached && c.reached(base, rule, k, mine) {
				mine[k], grown = true, true
			}
		}
	}
	return mine
}

func (c *corpus) throughMine(base fhir.Base, rule compartment.Rule, r *fhir.Resource, mine map[key]bool) bool {
	some := false
	for _, path := range rule.Through {
		for ref := range r.Root().At(strings.Split(path, ".")...) {
			to := base.Resolve(ref.Get("reference").Text())
			// What points into the directory alone is nobody's.
			if to.Where != fhir.Local || !mine[key{to.Type, to.ID}] || compartment.Of(to.Type).Class == compartment.Directory {
				return false
			}
			some = true
		}
	}
	return some
}

func (c *corpus) reached(base fhir.Base, rule compartment.Rule, k key, mine map[key]bool) bool {
	for _, pointer := range rule.Pointers {
		for _, from := range c.byType[pointer.Type] {
			if !mine[from.key] {
				continue
			}
			found := false
			from.resource.Root().Descend(func(n fhir.Node) {
				found = found || base.Resolve(n.Get("reference").Text()).Is(k.Type, k.ID) ||
					k.Type == "Binary" && base.Resolve(n.Get("url").Text()).Is(k.Type, k.ID)
			})
			if found {
				return true
			}
		}
	}
	return false
}
