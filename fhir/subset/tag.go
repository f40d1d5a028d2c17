package subset

import "github.com/portico-fhir/portico/fhir"

// The tag that says that a resource is not complete (R4 search, 3.1.1.5.9).
const (
	tagSystem = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
	tagCode   = "SUBSETTED"
	coding    = `{"system":"` + tagSystem + `","code":"` + tagCode + `"}`
)

// tag adds the Coding to meta.tag, whether or not there are a meta and a tag. A
// meta or tag of another form than FHIR's is replaced: nobody could read it.
func tag(root fhir.Node) []fhir.Edit {
	meta := root.Get("meta")
	if !meta.Exists() {
		start, _ := root.Span()
		return []fhir.Edit{{Start: start + 1, End: start + 1, With: []byte(`"meta":{"tag":[` + coding + `]},`)}}
	}
	start, end := meta.Span()
	if !meta.IsObject() {
		return []fhir.Edit{{Start: start, End: end, With: []byte(`{"tag":[` + coding + `]}`)}}
	}
	tags := meta.Get("tag")
	if !tags.Exists() {
		return []fhir.Edit{insert(meta, `"tag":[`+coding+`]`)}
	}
	if !tags.IsArray() {
		start, end = tags.Span()
		return []fhir.Edit{{Start: start, End: end, With: []byte(`[` + coding + `]`)}}
	}
	for t := range tags.Items() {
		if t.Get("system").Text() == tagSystem && t.Get("code").Text() == tagCode {
			return nil
		}
	}
	return []fhir.Edit{insert(tags, coding)}
}

// insert puts something at the beginning of an object or an array.
func insert(into fhir.Node, what string) fhir.Edit {
	start, _ := into.Span()
	for range into.Children() {
		what += ","
		break
	}
	return fhir.Edit{Start: start + 1, End: start + 1, With: []byte(what)}
}
