package main

import (
	"path/filepath"
	"slices"
	"strings"
)

// structure is what is needed of a StructureDefinition.
type structure struct {
	ResourceType, ID, Kind, Derivation string
	Abstract                           bool
	Snapshot                           struct{ Element []element }
}

type element struct {
	ID               string
	Path             string
	ContentReference string
	Type             []struct{ Code string }
	Binding          struct{ Strength, ValueSet string }
}

type valueSet struct {
	ResourceType, URL string
	Compose           struct {
		Include []struct {
			System   string
			ValueSet []string
		}
	}
}

// model answers what stands at a path, from the R4 profiles.
type model struct {
	elements map[string]element  // by path
	systems  map[string][]string // value set URL -> code systems
	types    []string            // concrete resource types
}

func loadModel(dir string) (*model, error) {
	m := &model{elements: map[string]element{}, systems: map[string][]string{}}
	for _, name := range []string{"profiles-types.json", "profiles-resources.json"} {
		structures, err := readBundle[structure](filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		for _, s := range structures {
			if s.ResourceType != "StructureDefinition" || slices.Contains(notR4Types, s.ID) {
				continue
			}
			if s.Kind == "resource" && !s.Abstract && s.Derivation == "specialization" {
				m.types = append(m.types, s.ID)
			}
			for _, e := range s.Snapshot.Element {
				if !strings.Contains(e.ID, ":") { // no slices
					m.elements[e.Path] = e
				}
			}
		}
	}
	sets, err := readBundle[valueSet](filepath.Join(dir, "valuesets.json"))
	if err != nil {
		return nil, err
	}
	for _, v := range sets {
		for _, in := range v.Compose.Include {
			if v.ResourceType == "ValueSet" && in.System != "" {
				m.systems[v.URL] = append(m.systems[v.URL], in.System)
			}
		}
	}
	return m, nil
}

func (m *model) resourceTypes() []string { return slices.Clone(m.types) }

// child finds the element called name below any of the given places, where a
// place is an element path or the name of a data type. choice says that the
// element is a name[x].
func (m *model) child(places []string, name string) (found element, choice bool, ok bool) {
	for _, p := range places {
		if e, ok := m.elements[p+"."+name]; ok {
			return e, false, true
		}
		if e, ok := m.elements[p+"."+name+"[x]"]; ok {
			return e, true, true
		}
	}
	return element{}, false, false
}

// places gives where the children of an element are defined.
func (m *model) places(e element) []string {
	if e.ContentReference != "" {
		return []string{e.ContentReference[strings.Index(e.ContentReference, "#")+1:]}
	}
	out := []string{e.Path}
	for _, t := range e.Type {
		out = append(out, typeCode(t.Code))
	}
	return out
}

// typeCode turns the system types of id and Extension.url into FHIR ones.
func typeCode(code string) string {
	if strings.HasPrefix(code, "http://hl7.org/fhirpath/System.") {
		return "string"
	}
	return code
}

// dataTypes gives the types an element may have, codes with their systems.
func (m *model) dataTypes(e element) []string {
	var out []string
	for _, t := range e.Type {
		code := typeCode(t.Code)
		if code == "code" && e.Binding.Strength == "required" {
			url, _, _ := strings.Cut(e.Binding.ValueSet, "|")
			if systems := slices.Compact(slices.Sorted(slices.Values(m.systems[url]))); len(systems) > 0 {
				code += "(" + strings.Join(systems, " ") + ")"
			}
		}
		out = append(out, code)
	}
	return out
}
