package gateway_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestURLsOnTheEHRsBaseBecomeOurs(t *testing.T) {
	h := open(t, 0)
	ehr := h.origin + "/fhir"
	for name, tt := range map[string]struct{ path, resource, want string }{
		"the base as an Endpoint's address": {"Endpoint/api", `{"resourceType":"Endpoint","id":"api","address":"%s"}`, `"address":"%s"`},
		"the base with a slash":             {"Endpoint/api2", `{"resourceType":"Endpoint","id":"api2","address":"%s/"}`, `"address":"%s/"`},
		"a reference":                       {"Location/l", `{"resourceType":"Location","id":"l","partOf":{"reference":"%s/Location/m"}}`, `"reference":"%s/Location/m"`},
		"meta.source":                       {"Location/m", `{"resourceType":"Location","id":"m","meta":{"source":"%s/Device/d#x"}}`, `"source":"%s/Device/d#x"`},
		"an attachment that is a file":      {"Practitioner/p", `{"resourceType":"Practitioner","id":"p","photo":[{"url":"%s/Binary/b"}]}`, `"url":"%s/Binary/_`},
		"an attachment that is FHIR":        {"Practitioner/q", `{"resourceType":"Practitioner","id":"q","photo":[{"url":"%s/Media/b"}]}`, `"url":"%s/Media/b"`},
	} {
		t.Run(name, func(t *testing.T) {
			if err := h.ehr.Load([]byte(fmt.Sprintf(tt.resource, ehr))); err != nil {
				t.Fatal(err)
			}
			r := h.get("/"+tt.path, alice)
			if r.status != 200 || !strings.Contains(r.body, fmt.Sprintf(tt.want, h.base)) || strings.Contains(r.body, ehr) {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
}

func TestNamesThatLookLikeURLsOfTheEHRStay(t *testing.T) {
	h := open(t, 0)
	name := h.origin + "/fhir/StructureDefinition/x"
	resource := fmt.Sprintf(`{"resourceType":"Location","id":"n","extension":[{"url":%q,"valueString":"v"}],"identifier":[{"system":%q}]}`, name, name)
	if err := h.ehr.Load([]byte(resource)); err != nil {
		t.Fatal(err)
	}
	if r := h.get("/Location/n", alice); strings.Count(r.body, name) != 2 {
		t.Errorf("%s", r.body)
	}
}
