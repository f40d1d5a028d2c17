package records_test

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/internal/demo/records"
)

// guide is what the US Core package says of its profiles.
type guide struct {
	profiles map[string]*profile // by URL
	codes    map[string][]string // value set -> codes, where it lists them
	systems  map[string][]string // value set -> systems taken whole
}

type profile struct {
	URL, Type, Kind, Derivation string
	Snapshot                    struct{ Element []*element }
	byID                        map[string]*element
}

type element struct {
	ID, Path    string
	Min         int
	MustSupport bool
	SliceName   string
	Type        []struct {
		Code    string
		Profile []string
	}
	Slicing *struct {
		Discriminator []struct{ Type, Path string }
	}
	Binding *struct {
		Strength, ValueSet string
	}
	Extension []struct{ URL string }
	fixed     json.RawMessage // of pattern[x] or fixed[x]
}

func (e *element) UnmarshalJSON(raw []byte) error {
	type plain element
	if err := json.Unmarshal(raw, (*plain)(e)); err != nil {
		return err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	for name, value := range all {
		if strings.HasPrefix(name, "pattern") || strings.HasPrefix(name, "fixed") {
			e.fixed = value
		}
	}
	return nil
}

// asked says whether the set must have the element somewhere: must support, or
// what US Core marks as an additional USCDI requirement.
func (e *element) asked() bool {
	for _, x := range e.Extension {
		if strings.HasSuffix(x.URL, "/uscdi-requirement") {
			return true
		}
	}
	return e.MustSupport
}

func readGuide(t *testing.T) guide {
	t.Helper()
	f, err := os.Open(filepath.Join(shared, "us-core-6.1.0.tgz"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the US Core package is not beside the project")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	g := guide{map[string]*profile{}, map[string][]string{}, map[string][]string{}}
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return g
		}
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(h.Name, "package/")
		if strings.Contains(name, "/") || !strings.HasSuffix(name, ".json") {
			continue
		}
		raw, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.HasPrefix(name, "StructureDefinition-"):
			g.profile(t, raw)
		case strings.HasPrefix(name, "ValueSet-"):
			g.valueSet(t, raw)
		}
	}
}

func (g guide) profile(t *testing.T, raw []byte) {
	p := &profile{byID: map[string]*element{}}
	if err := json.Unmarshal(raw, p); err != nil {
		t.Fatal(err)
	}
	for _, e := range p.Snapshot.Element {
		p.byID[e.ID] = e
	}
	if p.Kind == "resource" && p.Derivation == "constraint" {
		g.profiles[p.URL] = p
	}
}

func (g guide) valueSet(t *testing.T, raw []byte) {
	var v struct {
		URL     string
		Compose struct {
			Include []struct {
				System   string
				Concept  []struct{ Code string }
				Filter   []any
				ValueSet []string
			}
		}
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	for _, i := range v.Compose.Include {
		for _, c := range i.Concept {
			g.codes[v.URL] = append(g.codes[v.URL], i.System+"|"+c.Code)
		}
		if len(i.Concept) == 0 && i.System != "" {
			g.systems[v.URL] = append(g.systems[v.URL], i.System)
		}
		for range i.ValueSet { // of base FHIR: the one that US Core takes in
			g.systems[v.URL] = append(g.systems[v.URL], "http://snomed.info/sct")
		}
	}
}

// bound says whether a CodeableConcept, Coding or code is of a value set; known
// is false when the package does not list it.
func (g guide) bound(n fhir.Node, valueSet string) (in, known bool) {
	valueSet, _, _ = strings.Cut(valueSet, "|")
	codes, systems := g.codes[valueSet], g.systems[valueSet]
	if len(codes)+len(systems) == 0 {
		return false, false
	}
	codings := slices.Collect(n.At("coding"))
	if n.Get("code").Exists() {
		codings = append(codings, n)
	}
	if n.IsString() {
		return slices.ContainsFunc(codes, func(c string) bool { return strings.HasSuffix(c, "|"+n.Text()) }), true
	}
	for _, c := range codings {
		system := c.Get("system").Text()
		if slices.Contains(systems, system) || slices.Contains(codes, system+"|"+c.Get("code").Text()) {
			return true, true
		}
	}
	return false, true
}

// find gives what stands at an element id of a profile, slices observed.
func (g guide) find(p *profile, r *fhir.Resource, id string) []fhir.Node {
	parts := strings.Split(id, ".")
	nodes := []fhir.Node{r.Root()}
	for i := 1; i < len(parts); i++ {
		name, slice, _ := strings.Cut(parts[i], ":")
		var next []fhir.Node
		for _, n := range nodes {
			next = append(next, step(n, name, slice)...)
		}
		if slice != "" && !strings.HasSuffix(name, "[x]") {
			at := strings.Join(parts[:i+1], ".")
			next = slices.DeleteFunc(next, func(n fhir.Node) bool { return !g.inSlice(p, n, at) })
		}
		nodes = next
	}
	return nodes
}

// step gives the children of a name; for a choice those of any type, or of the
// type its slice names.
func step(n fhir.Node, name, slice string) []fhir.Node {
	var out []fhir.Node
	stem, choice := strings.CutSuffix(name, "[x]")
	for c := range n.Children() {
		got := c.Name()
		switch {
		case choice && slice != "" && got == slice, choice && slice == "" && isChoice(got, stem), !choice && got == name:
			out = append(out, slices.Collect(c.Items())...)
		case !choice && got == "_"+name: // extensions of a primitive
			out = append(out, slices.Collect(c.Items())...)
		}
	}
	return out
}

func isChoice(name, stem string) bool {
	rest, ok := strings.CutPrefix(name, stem)
	return ok && rest != "" && rest[0] >= 'A' && rest[0] <= 'Z'
}

// inSlice decides by what the slice fixes: an extension's URL, a required value
// set, or the patterns of its discriminators.
func (g guide) inSlice(p *profile, n fhir.Node, id string) bool {
	e := p.byID[id]
	if len(e.Type) > 0 && e.Type[0].Code == "Extension" {
		return n.Get("url").Text() == e.Type[0].Profile[0]
	}
	if e.fixed != nil {
		return matches(n, e.fixed)
	}
	if e.Binding != nil && e.Binding.Strength == "required" {
		if in, known := g.bound(n, e.Binding.ValueSet); known {
			return in
		}
	}
	base := p.byID[id[:strings.LastIndex(id, ":")]]
	if base == nil || base.Slicing == nil {
		return true
	}
	for _, d := range base.Slicing.Discriminator {
		inner := p.byID[id+"."+d.Path]
		if d.Path == "$this" || inner == nil {
			inner = nil
			for below, x := range p.byID { // e.g. VSCat fixes its coding's system and code
				if strings.HasPrefix(below, id+".") && x.fixed != nil {
					path := strings.Split(strings.TrimPrefix(below, id+"."), ".")
					if !slices.ContainsFunc(slices.Collect(n.At(path...)), func(v fhir.Node) bool { return matches(v, x.fixed) }) {
						return false
					}
				}
			}
			continue
		}
		if inner.fixed != nil && !slices.ContainsFunc(slices.Collect(n.At(strings.Split(d.Path, ".")...)), func(v fhir.Node) bool { return matches(v, inner.fixed) }) {
			return false
		}
	}
	return true
}

// matches says whether a value contains a pattern (ElementDefinition.pattern).
func matches(n fhir.Node, pattern json.RawMessage) bool {
	var want any
	if json.Unmarshal(pattern, &want) != nil {
		return false
	}
	return contains(n, want)
}

func contains(n fhir.Node, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		for name, v := range want {
			if !contains(n.Get(name), v) {
				return false
			}
		}
		return n.Exists()
	case []any:
		for _, v := range want {
			if !slices.ContainsFunc(slices.Collect(n.Items()), func(item fhir.Node) bool { return contains(item, v) }) {
				return false
			}
		}
		return true
	case string:
		return n.IsString() && n.Text() == want
	case bool:
		return n.Text() == map[bool]string{true: "true", false: "false"}[want]
	}
	return false
}

func TestEveryMustSupportElementIsThereSomewhere(t *testing.T) {
	g := readGuide(t)
	s := generate(t, records.Options{Seed: 1, Patients: 20, Now: day})
	for url, p := range g.profiles {
		name := url[strings.LastIndex(url, "/")+1:]
		if name == "us-core-vital-signs" {
			continue // only profiles made from it are claimed
		}
		t.Run(name, func(t *testing.T) {
			var claimed []*fhir.Resource
			for _, r := range s.ofType(p.Type) {
				if hasProfile(r, url) {
					claimed = append(claimed, r)
				}
			}
			if len(claimed) == 0 {
				t.Fatal("no resource claims the profile")
			}
			for _, e := range p.Snapshot.Element {
				if !e.asked() || !strings.Contains(e.ID, ".") || excused(name, e.ID) {
					continue
				}
				if !slices.ContainsFunc(claimed, func(r *fhir.Resource) bool { return len(g.find(p, r, e.ID)) > 0 }) {
					t.Errorf("%s is in none of %d", e.ID, len(claimed))
				}
			}
		})
	}
}

// excused: the vital signs profiles repeat each other's elements, and a single
// measurement cannot have them all.
func excused(profile, id string) bool {
	switch {
	case profile == "us-core-blood-pressure":
		return id == "Observation.value[x]" || id == "Observation.dataAbsentReason"
	case profile == "us-core-pulse-oximetry":
		return strings.HasSuffix(id, "dataAbsentReason")
	case strings.HasPrefix(id, "Observation.component") || id == "Observation.dataAbsentReason":
		return profile == "us-core-bmi" || strings.HasPrefix(profile, "pediatric-") || strings.HasPrefix(profile, "head-occipital") ||
			slices.Contains([]string{"us-core-body-height", "us-core-body-weight", "us-core-body-temperature", "us-core-heart-rate", "us-core-respiratory-rate", "us-core-head-circumference"}, profile)
	}
	return false
}

func hasProfile(r *fhir.Resource, url string) bool {
	for p := range r.Root().Get("meta").Get("profile").Items() {
		if p.Text() == url {
			return true
		}
	}
	return false
}

func TestEveryResourceHasWhatItsProfileRequires(t *testing.T) {
	g := readGuide(t)
	s := generate(t, records.Options{Seed: 2, Patients: 130, Now: day})
	for _, r := range s.all {
		for url := range r.Root().Get("meta").Get("profile").Items() {
			p := g.profiles[url.Text()]
			if p == nil || p.Type != r.Type() {
				t.Errorf("%s/%s claims the profile %s, which is not one of %s", r.Type(), r.ID(), url.Text(), r.Type())
				continue
			}
			g.check(t, p, r)
		}
	}
}

func (g guide) check(t *testing.T, p *profile, r *fhir.Resource) {
	t.Helper()
	for _, e := range p.Snapshot.Element {
		parent := e.ID[:max(0, strings.LastIndex(e.ID, "."))]
		if parent == "" {
			continue
		}
		if e.Min > 0 {
			for _, up := range g.find(p, r, parent) {
				if len(g.within(p, up, e.ID)) == 0 && up.IsObject() && !absentBecause(up) {
					t.Errorf("%s/%s has no %s, which %s requires", r.Type(), r.ID(), e.ID, p.URL)
				}
			}
		}
		if e.Binding == nil || e.Binding.Strength != "required" || e.SliceName != "" {
			continue
		}
		for _, n := range g.find(p, r, e.ID) {
			if in, known := g.bound(n, e.Binding.ValueSet); known && !in {
				t.Errorf("%s/%s: %s is not of %s", r.Type(), r.ID(), e.ID, e.Binding.ValueSet)
			}
		}
	}
}

// within gives what stands at an element id, seen from its parent element.
func (g guide) within(p *profile, up fhir.Node, id string) []fhir.Node {
	last := id[strings.LastIndex(id, ".")+1:]
	name, slice, _ := strings.Cut(last, ":")
	out := step(up, name, slice)
	if slice != "" && !strings.HasSuffix(name, "[x]") {
		out = slices.DeleteFunc(out, func(n fhir.Node) bool { return !g.inSlice(p, n, id) })
	}
	return out
}

func absentBecause(n fhir.Node) bool {
	for x := range n.Get("extension").Items() {
		if strings.HasSuffix(x.Get("url").Text(), "/data-absent-reason") {
			return true
		}
	}
	return false
}
