package upstream_test

import (
	"testing"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
)

func TestOnlyTheBaseAndWhatIsBelowItIsWithin(t *testing.T) {
	base, err := fhir.ParseBase("https://ehr.example.org/fhir/r4")
	if err != nil {
		t.Fatal(err)
	}
	for _, hostile := range []string{
		"https://evil.example.org/fhir/r4/Patient",
		"https://ehr.example.org.evil.org/fhir/r4/Patient",
		"https://ehr.example.orgevil.org/fhir/r4/Patient",
		"https://evil-ehr.example.org/fhir/r4/Patient",
		"https://ehr.example.org./fhir/r4/Patient",
		"https://ehr.example.org@evil.org/fhir/r4/Patient",
		"https://user@ehr.example.org/fhir/r4/Patient",
		"https://user:secret@ehr.example.org/fhir/r4/Patient",
		"https://@ehr.example.org/fhir/r4/Patient",
		`https://ehr.example.org\@evil.org/fhir/r4/Patient`,
		"https://ehr.example.org#@evil.org/fhir/r4/Patient",
		"https://ehr.example.org?@evil.org/fhir/r4/Patient",
		"https://ehr.example.org:8443/fhir/r4/Patient",
		"https://ehr.example.org:80/fhir/r4/Patient",
		"https://ehr.example.org:0443/fhir/r4/Patient",
		"https://ehr.example.org:/fhir/r4/Patient",
		"http://ehr.example.org/fhir/r4/Patient",
		"http://ehr.example.org:443/fhir/r4/Patient",
		"ftp://ehr.example.org/fhir/r4/Patient",
		"//ehr.example.org/fhir/r4/Patient",
		"https:ehr.example.org/fhir/r4/Patient",
		"https:///ehr.example.org/fhir/r4/Patient",
		"https://ehr。example.org/fhir/r4/Patient",
		"https://еhr.example.org/fhir/r4/Patient",
		"https://ehr.example.org%2eevil.org/fhir/r4/Patient",
		"https://ehr.example.org%00/fhir/r4/Patient",
		"https://ehr.example.org/fhir/r40/Patient",
		"https://ehr.example.org/fhir/r4x",
		"https://ehr.example.org/fhir/r4;x/Patient",
		"https://ehr.example.org/fhir",
		"https://ehr.example.org/fhir/",
		"https://ehr.example.org/FHIR/R4/Patient",
		"https://ehr.example.org/",
		"https://ehr.example.org",
		"https://ehr.example.org/fhir/r4/../../admin",
		"https://ehr.example.org/fhir/r4/..",
		"https://ehr.example.org/fhir/r4/.",
		"https://ehr.example.org/fhir/x/../r4/Patient",
		"https://ehr.example.org/fhir/r4/%2e%2e/admin",
		"https://ehr.example.org/fhir/r4/%2E./admin",
		"https://ehr.example.org/fhir/r4/..%2fadmin",
		"https://ehr.example.org/fhir/r4/..%2Fadmin",
		"https://ehr.example.org/fhir/r4/Patient%2f..%2f..",
		"https://ehr.example.org/fhir/r4/%252e%252e/admin",
		`https://ehr.example.org/fhir/r4/..\admin`,
		"https://ehr.example.org/fhir/r4/..%5cadmin",
		"https://ehr.example.org/fhir%2fr4/Patient",
		"https://ehr.example.org/fhir/r4//evil.org",
		"https://ehr.example.org//fhir/r4/Patient",
		"https://ehr.example.org/fhir/r4/Patient%00",
		"https://ehr.example.org/fhir/r4\t/Patient",
		"https://ehr.example.org/fhir/r4\n/Patient",
		" https://ehr.example.org/fhir/r4/Patient",
		"Patient?page=2",
		"/fhir/r4/Patient",
		"javascript:alert(1)",
		"",
		"::",
	} {
		if upstream.Within(base, hostile) {
			t.Errorf("%q is taken for the EHR's", hostile)
		}
	}
	for _, fine := range []string{
		"https://ehr.example.org/fhir/r4",
		"https://ehr.example.org/fhir/r4?_getpages=a-b&_offset=20",
		"https://ehr.example.org/fhir/r4/?page=2",
		"https://ehr.example.org/fhir/r4/Patient?page=2",
		"https://EHR.example.org:443/fhir/r4/Observation?code=a%7Cb%2Fc&x=..%2f",
		"https://ehr.example.org/fhir/r4/Patient/a/$everything?page=2",
		"https://ehr.example.org/fhir/r4/Patient/a/%24everything",
		"HTTPS://ehr.example.org/fhir/r4/Patient/a.b",
		"https://ehr.example.org/fhir/r4/.well-known/smart-configuration",
	} {
		if !upstream.Within(base, fine) {
			t.Errorf("%q is not taken for the EHR's", fine)
		}
	}
}
