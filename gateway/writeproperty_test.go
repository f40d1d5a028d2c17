package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// theOther is a patient of whom nothing may be said in what alice's app writes.
const theOther = "other-patient"

// drawStranger makes a value that names the other patient, or something that is
// not certainly nobody, in one of the ways that FHIR and its servers have.
func drawStranger(t *rapid.T) string {
	return rapid.SampledFrom([]string{
		`{"reference":"Patient/` + theOther + `"}`,
		`{"reference":"Patient\/` + theOther + `"}`,
		`{"reference":"\u0050atient/` + theOther + `"}`,
		`{"\u0072eference":"Patient/` + theOther + `"}`,
		`{"Reference":"Patient/` + theOther + `"}`,
		`{"referenCe":"Patient/` + theOther + `","reference":"Patient/alice"}`,
		`{"reference":"Patient/` + theOther + `/_history/1"}`,
		`{"reference":"BASE/Patient/` + theOther + `"}`,
		`{"reference":"ORIGIN/fhir/Patient/` + theOther + `"}`,
		`{"reference":"https://elsewhere.example/fhir/Patient/` + theOther + `"}`,
		`{"reference":"urn:uuid:` + theOther + `"}`,
		`{"reference":"Patient/alice","identifier":{"value":"` + theOther + `"}}`,
		`{"reference":"Patient?identifier=` + theOther + `"}`,
		`{"reference":"Observation/of-` + theOther + `"}`,
		`{"reference":"Group/of-` + theOther + `"}`,
		`{"reference":"RelatedPerson/of-` + theOther + `"}`,
		`{"reference":"Binary/of-` + theOther + `"}`,
		`{"identifier":{"value":"` + theOther + `"}}`,
		`{"type":"Patient","identifier":{"value":"` + theOther + `"}}`,
		`{"type":"Patient","display":"` + theOther + `"}`,
		`{"type":"http://hl7.org/fhir/StructureDefinition/Patient","display":"` + theOther + `"}`,
		`{"extension":[{"url":"http://x.example/e","valueReference":{"reference":"Patient/` + theOther + `"}}]}`,
		`{"extension":[{"url":"http://x.example/e","valueUri":"Patient/` + theOther + `"}]}`,
		`{"extension":[{"url":"http://x.example/e","valueUrl":"BASE/Patient/` + theOther + `"}]}`,
		`{"extension":[{"url":"http://x.example/e","valueCanonical":"https://elsewhere.example/Patient/` + theOther + `"}]}`,
		`{"extension":[{"url":"ORIGIN/fhir/Patient/` + theOther + `","valueCode":"x"}]}`,
		`{"url":"Binary/of-` + theOther + `"}`,
		`{"url":"ORIGIN/fhir/Binary/of-` + theOther + `"}`,
		`{"any":"ORIGIN/fhir/Patient/` + theOther + `"}`,
		`{"resourceType":"Patient","id":"` + theOther + `"}`,
		`{"reference":["Patient/` + theOther + `"]}`,
	}).Draw(t, "stranger")
}

// drawPlace puts a value somewhere in a resource of alice's.
func drawPlace(t *rapid.T, value string) string {
	inside := rapid.SampledFrom([]string{
		`%s`, `[%s]`, `[{"reference":"Patient/alice"},%s]`, `{"deep":[{"deeper":{"x":%s}}]}`, `{"extension":[{"url":"http://x.example/e","extension":[{"url":"part","valueReference":%s}]}]}`,
	}).Draw(t, "inside")
	value = fmt.Sprintf(inside, value)
	member := rapid.SampledFrom([]string{
		`"focus":%s`, `"subject":%s`, `"Subject":%s`, `"basedOn":%s`, `"encounter":%s`, `"extension":[{"url":"http://x.example/e","valueReference":%s}]`,
		`"_status":%s`, `"component":[{"code":%s}]`, `"derivedFrom":%s`, `"performer":%s`, `"made":%s`, `"modifierExtension":%s`,
		`"contained":[{"resourceType":"Observation","id":"c","subject":{"reference":"Patient/alice"},"focus":%s}]`,
		`"contained":[{"resourceType":"Organization","id":"c","partOf":%s}]`,
	}).Draw(t, "member")
	return fmt.Sprintf(member, value)
}

// Whatever an app sends: a resource that names somebody else, in any way and at
// any place, never gets as far as the EHR, by create, update, patch or batch.
func TestNoReferenceToAnotherPatientIsEverWritten(t *testing.T) {
	h, rec := openWriting(t, hers,
		`{"resourceType":"Patient","id":"`+theOther+`"}`,
		`{"resourceType":"Observation","id":"of-`+theOther+`","subject":{"reference":"Patient/`+theOther+`"}}`,
		`{"resourceType":"RelatedPerson","id":"of-`+theOther+`","patient":{"reference":"Patient/`+theOther+`"}}`,
		`{"resourceType":"Group","id":"of-`+theOther+`","type":"person","actual":true,"member":[{"entity":{"reference":"Patient/`+theOther+`"}}]}`,
		`{"resourceType":"Binary","id":"of-`+theOther+`","contentType":"text/plain","data":"eA=="}`)
	rapid.Check(t, func(t *rapid.T) {
		spoiled := drawPlace(t, drawStranger(t))
		members := []string{`"resourceType":"Observation"`, `"id":"hers"`, `"status":"final"`, `"code":{"text":"x"}`}
		if !strings.HasPrefix(spoiled, `"subject"`) {
			members = append(members, `"subject":{"reference":"Patient/alice"}`)
		}
		resource := "{" + strings.Join(rapid.Permutation(append(members, spoiled)).Draw(t, "order"), ",") + "}"
		resource = strings.NewReplacer("BASE", h.base, "ORIGIN", h.origin).Replace(resource)
		var r reply
		switch rapid.IntRange(0, 3).Draw(t, "how") {
		case 0:
			r = h.send("POST", "/Observation", writer, resource, "Content-Type", fhirBody)
		case 1:
			r = h.send("PUT", "/Observation/hers", writer, resource, "Content-Type", fhirBody, "If-Match", `W/"7"`)
		case 2:
			r = h.send("PATCH", "/Observation/hers", writer, `[{"op":"replace","path":"","value":`+resource+`}]`, "Content-Type", patching, "If-Match", `W/"7"`)
		case 3:
			r = h.send("POST", "", writer, `{"resourceType":"Bundle","type":"batch","entry":[{"resource":`+resource+`,"request":{"method":"POST","url":"Observation"}}]}`, "Content-Type", fhirBody)
			if strings.Contains(r.body, `"status":"4`) {
				r.status = 400
			}
		}
		if sent := rec.take(); len(sent) > 0 || r.status < 400 {
			t.Fatalf("%d %s\nsent %s\nof %s", r.status, r.body, sent, resource)
		}
	})
}

// The same places hold what is the patient's own: the test above would hold for a
// gateway that refuses everything.
func TestReferencesToTheOwnRecordAreWritten(t *testing.T) {
	h, rec := openWriting(t)
	for _, more := range []string{
		`,"focus":[{"reference":"Patient/alice"}]`, `,"hasMember":[{"reference":"Observation/observation-alice"}]`,
		`,"device":{"reference":"Device/device-alice"}`, `,"basedOn":[{"reference":"` + h.base + `/ServiceRequest/servicerequest-alice"}]`,
		`,"extension":[{"url":"http://x.example/e","valueReference":{"reference":"Patient/alice","type":"Patient"}},{"url":"http://x.example/f","valueUri":"http://x.example/y"}]`,
		`,"contained":[{"resourceType":"Observation","id":"c","subject":{"reference":"Patient/alice"}}],"hasMember":[{"reference":"#c"}]`,
		`,"derivedFrom":[{"reference":"DocumentReference/note-alice"}]`,
		`,"note":[{"text":"ask Patient/bob"}]`,
	} {
		r := h.create("Observation", obs(more))
		if sent := rec.take(); r.status != 201 || len(sent) == 0 {
			t.Errorf("%s: %d %s", more, r.status, r.body)
		}
	}
}
