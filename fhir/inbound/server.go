package inbound

import (
	"bytes"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/patch"
)

// Stored gives the resource as it is to be stored: id and meta are the server's,
// and elements that say who wrote it are set where the app left them out. before
// is what is there now, nil for a new resource.
func (d *Document) Stored(before *fhir.Resource, by Writer) (*fhir.Resource, error) {
	meta, err := d.meta(before)
	if err != nil {
		return nil, err
	}
	raw := d.raw
	switch {
	case len(meta) > 0:
		raw, err = patch.Set(raw, "meta", meta)
	default:
		raw, err = patch.Drop(raw, "meta")
	}
	if err == nil && before == nil { // R4 http, section 3.1.0.8: the id of a new resource is ignored
		raw, err = patch.Drop(raw, "id")
	}
	if err != nil {
		return nil, err
	}
	if raw, err = by.sign(d.typ, raw); err != nil {
		return nil, err
	}
	r, err := fhir.ParseResource(raw)
	if err != nil {
		return nil, refuse("The resource cannot be stored in this form.")
	}
	return r, by.Check(r, before)
}

// meta keeps the profiles that the app claims, which the record validates, and
// of what is there already all but what the record sets anew. Labels and tags
// are the record's: an app that could drop one could make a resource less
// protected than it is.
func (d *Document) meta(before *fhir.Resource) ([]byte, error) {
	given, err := fhir.ParseNode(d.raw)
	if err != nil {
		return nil, refuse("The resource cannot be stored in this form.")
	}
	if m := given.Get("meta"); m.Exists() && !m.IsObject() {
		return nil, refuse("meta is not an object.")
	}
	var members [][]byte
	if profiles := given.Get("meta").Get("profile"); profiles.Exists() {
		if !profiles.IsArray() || !onlyText(profiles) {
			return nil, refuse("meta.profile is not a list of canonical URLs.")
		}
		members = append(members, append([]byte(`"profile":`), profiles.Raw()...))
	}
	if before != nil {
		for c := range before.Root().Get("meta").Children() {
			switch c.Name() {
			case "profile", "versionId", "lastUpdated", "_versionId", "_lastUpdated", "_profile":
			default:
				members = append(members, append(append(quote(c.Name()), ':'), c.Raw()...))
			}
		}
	}
	if len(members) == 0 {
		return nil, nil
	}
	return append(append([]byte{'{'}, bytes.Join(members, []byte{','})...), '}'), nil
}

func onlyText(list fhir.Node) bool {
	n := 0
	for c := range list.Children() {
		if n++; !c.IsString() {
			return false
		}
	}
	return n > 0
}
