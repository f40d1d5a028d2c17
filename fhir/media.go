package fhir

// JSON is the media type of FHIR in JSON (R4 json, section 2.6.1).
const JSON = "application/fhir+json"

// IsJSON says whether a media type, in lower case and without parameters, is one
// by which FHIR in JSON is asked for: older and general names count (R4 http,
// section 3.1.0.1.11).
func IsJSON(media string) bool {
	switch media {
	case JSON, "application/json+fhir", "application/json", "text/json":
		return true
	}
	return false
}
