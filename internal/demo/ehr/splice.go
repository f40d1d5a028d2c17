package ehr

import (
	"bytes"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
)

// withMember gives raw with one member of an object set, replacing its value or
// putting it first; every other byte stays. The object must have a member.
func withMember(raw []byte, object fhir.Node, name string, value []byte) []byte {
	return fhir.Splice(raw, 0, len(raw), []fhir.Edit{setMember(object, name, value)})
}

func setMember(object fhir.Node, name string, value []byte) fhir.Edit {
	if old := object.Get(name); old.Exists() {
		start, end := old.Span()
		return fhir.Edit{Start: start, End: end, With: value}
	}
	start, _ := object.Span()
	var member bytes.Buffer
	member.Write(encode(name))
	member.WriteByte(':')
	member.Write(value)
	member.WriteByte(',')
	return fhir.Edit{Start: start + 1, End: start + 1, With: member.Bytes()}
}

// withServerElements sets what belongs to the server: id, meta.versionId and
// meta.lastUpdated.
func withServerElements(res *fhir.Resource, id, version, updated string) []byte {
	root, meta := res.Root(), res.Root().Get("meta")
	edits := []fhir.Edit{setMember(root, "id", encode(id))}
	if hasMember(meta) {
		edits = append(edits, setMember(meta, "versionId", encode(version)), setMember(meta, "lastUpdated", encode(updated)))
	} else {
		edits = append(edits, setMember(root, "meta", encode(map[string]string{"versionId": version, "lastUpdated": updated})))
	}
	raw := res.Bytes()
	start, _ := root.Span() // white space before the root moves offsets
	for i := range edits {
		edits[i].Start, edits[i].End = edits[i].Start-start, edits[i].End-start
	}
	return fhir.Splice(raw, 0, len(raw), edits)
}

func hasMember(object fhir.Node) bool {
	for range object.Children() {
		return object.IsObject()
	}
	return false
}

// view says which elements of a resource are wanted. The zero view wants all.
type view struct {
	elements []string
	summary  string
}

// viewOf reads _elements and _summary of a request that is no search.
func viewOf(c *call) (view, error) {
	pairs, err := search.ParsePairs(c.query)
	if err != nil {
		return view{}, err
	}
	var v view
	for _, p := range pairs {
		switch {
		case p.Name == "_elements":
			v.elements = strings.Split(p.Value, ",")
		case p.Name == "_summary" && (p.Value == "true" || p.Value == "text" || p.Value == "data" || p.Value == "false"):
			v.summary = p.Value
		case p.Name == "_summary":
			return view{}, refuse(400, "value", "_summary must be true, text, data or false here")
		}
	}
	return v, nil
}

// of gives the wanted elements of a resource, marked as a part of it (R4
// search, section 3.1.1.5.9), or its bytes as they are.
func (v view) of(res *fhir.Resource) []byte {
	typ, known := typeNamed(res.Type())
	if !known {
		return res.Bytes()
	}
	info := resourceTypes[typ]
	switch {
	case len(v.elements) > 0:
		return project(res, newElementSet(slices.Concat(v.elements, []string{always, info.mandatory})...).has)
	case v.summary == "true":
		return project(res, newElementSet(always, info.mandatory, info.summary).has)
	case v.summary == "text":
		return project(res, newElementSet(always, info.mandatory, "text").has)
	case v.summary == "data":
		return project(res, func(member string) bool { return member != "text" })
	}
	return res.Bytes()
}

// subsetted is the tag of a resource of which a part was left out.
const subsetted = `{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED","display":"Subsetted"}`

func project(res *fhir.Resource, keep func(member string) bool) []byte {
	var out bytes.Buffer
	out.WriteByte('{')
	member := func(name string, value []byte) {
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		out.Write(encode(name))
		out.WriteByte(':')
		out.Write(value)
	}
	if !res.Root().Get("meta").IsObject() {
		member("meta", []byte(`{"tag":[`+subsetted+`]}`))
	}
	for c := range res.Root().Children() {
		switch {
		case c.Name() == "meta" && c.IsObject():
			member("meta", tagged(c))
		case keep(c.Name()):
			member(c.Name(), c.Raw())
		}
	}
	out.WriteByte('}')
	return out.Bytes()
}

// tagged gives a meta with the tag added.
func tagged(meta fhir.Node) []byte {
	start, _ := meta.Span()
	raw := meta.Raw()
	tag := meta.Get("tag")
	switch {
	case !hasMember(meta):
		return []byte(`{"tag":[` + subsetted + `]}`)
	case !tag.IsArray():
		return append([]byte(`{"tag":[`+subsetted+`],`), raw[1:]...)
	}
	with := subsetted
	for range tag.Children() {
		with += ","
		break
	}
	at, _ := tag.Span()
	at += 1 - start
	return fhir.Splice(raw, 0, len(raw), []fhir.Edit{{Start: at, End: at, With: []byte(with)}})
}

// instant is how the server writes points in time.
const instant = "2006-01-02T15:04:05.000Z07:00"
