package ehr

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
)

// spoil applies the misbehaviours that change what is said; send applies those
// that change how.
func (s *Server) spoil(c *call, a answer) answer {
	if c.modes == 0 || a.authored {
		return a
	}
	if a.bundle == nil {
		if a.resource != nil {
			a.resource = spoilResource(c, a.resource, "")
		}
		return a
	}
	b := *a.bundle
	b.entries = slices.Clone(b.entries)
	if b.kind == "searchset" {
		s.spoilSearch(c, &b)
	}
	for i := range b.entries {
		e := &b.entries[i]
		if e.resource != nil {
			e.resource = spoilResource(c, e.resource, b.asked)
		}
		if c.modes.has(NoSearchMode) {
			e.mode = ""
		}
		if c.modes.has(ElsewhereURLs) {
			e.fullURL = s.o.Elsewhere + strings.TrimPrefix(e.fullURL, c.base)
		}
	}
	a.bundle = &b
	return a
}

// spoilSearch changes what a search found.
func (s *Server) spoilSearch(c *call, b *bundle) {
	if c.modes.has(ForeignRows) {
		rows := s.foreigners(c, b.typ, map[string]bool{b.asked: true}, 2, "match")
		matches := 0
		for matches < len(b.entries) && b.entries[matches].mode == "match" {
			matches++
		}
		if len(rows) > 1 {
			b.entries = slices.Insert(b.entries, matches, rows[1])
		}
		if len(rows) > 0 {
			b.entries = slices.Insert(b.entries, 0, rows[0])
		}
	}
	if c.modes.has(ExtraIncludes) {
		for typ := range resourceTypes {
			if typ != b.typ && len(b.entries) < 100 {
				b.entries = append(b.entries, s.foreigners(c, typ, map[string]bool{b.asked: true}, 1, "include")...)
			}
		}
	}
	if c.modes.has(WrongTotal) {
		b.total += 1000
	}
	next := ""
	switch {
	case c.modes.has(NextElsewhere):
		next = s.o.Elsewhere + strings.TrimPrefix(b.links[0].URL, c.base)
	case c.modes.has(EndlessPages):
		next = b.links[0].URL
	default:
		return
	}
	b.links = slices.DeleteFunc(slices.Clone(b.links), func(l link) bool { return l.Relation == "next" })
	b.links = append(b.links, link{"next", next})
}

// foreigners gives entries of a type that belong to none of these patients.
func (s *Server) foreigners(c *call, typ int, not map[string]bool, n int, mode string) []bundleEntry {
	var rows []bundleEntry
	for _, record := range s.store.ofType(typ) {
		if len(rows) == n {
			break
		}
		v := s.store.get(record)
		res, err := fhir.ParseResource(v.raw)
		if v.gone || err != nil || names(res, not) {
			continue
		}
		rows = append(rows, bundleEntry{fullURL: fullURL(c, res), resource: v.raw, mode: mode})
	}
	return rows
}

// foreignTo gives a resource of the same type that names none of the patients
// whom this one names.
func (s *Server) foreignTo(typ int, v stored) (stored, bool) {
	res, err := fhir.ParseResource(v.raw)
	if err != nil {
		return stored{}, false
	}
	not := map[string]bool{}
	for _, id := range patientsOf(res) {
		not[id] = true
	}
	for _, record := range s.store.ofType(typ) {
		other := s.store.get(record)
		found, err := fhir.ParseResource(other.raw)
		if err == nil && !other.gone && found.ID() != res.ID() && !names(found, not) {
			return other, true
		}
	}
	return stored{}, false
}

func names(res *fhir.Resource, patients map[string]bool) bool {
	return slices.ContainsFunc(patientsOf(res), func(id string) bool { return patients[id] })
}

// patientsOf gives the ids of all patients that a resource names or is.
func patientsOf(res *fhir.Resource) []string {
	var ids []string
	if res.Type() == "Patient" {
		ids = append(ids, res.ID())
	}
	for reference := range references(res.Root()) {
		if typ, id, ok := target(reference.Text()); ok && typ == "Patient" {
			ids = append(ids, id)
		}
	}
	return ids
}

// spoilResource changes the bytes of one resource.
func spoilResource(c *call, raw []byte, asked string) []byte {
	res, err := fhir.ParseResource(raw)
	if err != nil {
		return raw
	}
	var edits []fhir.Edit
	if c.modes.has(AbsoluteURLs) {
		edits = absolute(c, res)
	}
	name, owner := ownerOf(res)
	value := owner.Raw()
	if asked != "" && name != "id" {
		value = encode(map[string]string{"reference": "Patient/" + asked})
	}
	end := len(raw) - 1
	add := func(name string, value []byte) {
		edits = append(edits, fhir.Edit{Start: end, End: end, With: fmt.Appendf(nil, `,"%s":%s`, name, value)})
	}
	if c.modes.has(DuplicateKeys) {
		add(name, value)
	}
	if c.modes.has(CaseSpoofedKeys) {
		add(strings.ToUpper(name[:1])+name[1:], value)
	}
	if c.modes.has(BadUTF8) {
		add("implicitRules", []byte("\"\xff\xfe\""))
	}
	raw = fhir.Splice(raw, 0, len(raw), edits)
	if c.modes.has(EscapedKeys) {
		raw = bytes.Replace(raw, []byte(`"`+name+`"`), fmt.Appendf(nil, `"\u%04x%s"`, name[0], name[1:]), 1)
	}
	if c.modes.has(NoID) {
		raw = without(raw, "id")
	}
	if c.modes.has(NoType) {
		raw = without(raw, "resourceType")
	}
	return raw
}

// ownerOf gives the element that says whose a resource is, or else its id.
func ownerOf(res *fhir.Resource) (string, fhir.Node) {
	for _, name := range []string{"subject", "patient", "beneficiary", "individual", "for"} {
		if owner := res.Root().Get(name); owner.IsObject() {
			return name, owner
		}
	}
	return "id", res.Root().Get("id")
}

// absolute rewrites relative references and attachment URLs.
func absolute(c *call, res *fhir.Resource) []fhir.Edit {
	var edits []fhir.Edit
	res.Root().Descend(func(n fhir.Node) {
		if !n.IsString() || n.Name() != "reference" && n.Name() != "url" {
			return
		}
		if to := c.at.Resolve(n.Text()); to.Where == fhir.Local || strings.HasPrefix(n.Text(), "documents/") {
			start, end := n.Span()
			relative, ok := c.at.Relative(n.Text())
			if !ok {
				relative = n.Text()
			}
			edits = append(edits, fhir.Edit{Start: start, End: end, With: encode(c.base + "/" + relative)})
		}
	})
	return edits
}

// without takes the top-level member out of an object that may already be
// spoilt, so it works on the text: the name with its value, a JSON string.
func without(raw []byte, name string) []byte {
	start := bytes.Index(raw, []byte(`"`+name+`"`))
	if start < 0 {
		return raw
	}
	colon := start + bytes.IndexByte(raw[start:], ':')
	open := colon + bytes.IndexByte(raw[colon:], '"')
	end := open + 1 + bytes.IndexByte(raw[open+1:], '"') + 1
	if comma := bytes.IndexByte(raw[end:], ','); comma >= 0 && len(bytes.TrimSpace(raw[end:end+comma])) == 0 {
		end += comma + 1
	} else if comma := bytes.LastIndexByte(raw[:start], ','); comma >= 0 {
		start = comma
	}
	return append(bytes.Clone(raw[:start]), raw[end:]...)
}
