package locate

import (
	"net/url"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
)

func baseOf(t testing.TB, text string) fhir.Base {
	t.Helper()
	b, err := fhir.ParseBase(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func aLocator(t testing.TB) *Locator {
	t.Helper()
	l, err := New(baseOf(t, "https://ehr.example.org/api/fhir"), baseOf(t, "https://portico.example.org/fhir/ehr"), []fhir.Base{baseOf(t, "https://files.example.org/store")})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// located are URLs of attachments with what they lead to, and for files where.
var located = []struct {
	text  string
	place Place
	url   string
}{
	{"https://ehr.example.org/api/fhir/patient/b", Spoken, ""},
	{"https://ehr.example.org/api/fhir/%50atient/b", Spoken, ""},
	{"https://ehr.example.org/api/fhir/Patient", Spoken, ""},
	{"https://ehr.example.org/api/fhir/Binary?_id=b", Spoken, ""},
	{"https://ehr.example.org/api/fhir/Binary/b?_format=json", Spoken, ""},
	{"https://ehr.example.org/api/fhir/Binary", Spoken, ""},
	{"https://ehr.example.org/api/fhir/$export", Spoken, ""},
	{"https://ehr.example.org/api/fhir/_history", Spoken, ""},
	{"https://ehr.example.org/api/fhir/metadata", Spoken, ""},
	{"https://ehr.example.org/api/fhir/.well-known/x", Spoken, ""},
	{"https://ehr.example.org/api/fhir/?_getpages=x", Spoken, ""},
	{"documents/../Patient/b", Spoken, ""},
	{"/api/fhir/Patient/b", Spoken, ""},
	{"//ehr.example.org/api/fhir/Patient/b", Spoken, ""},
	{"https://ehr.example.org/api/fhir/documents/%2e%2e/Patient/b", Closed, ""},
	{"https://ehr.example.org/api/fhir/documents/%2E%2e%2fPatient/b", Closed, ""},
	{"https://ehr.example.org/api/fhir/documents/%252e%252e/Patient", Closed, ""},
	{"https://ehr.example.org/api/fhir//Patient/b", Closed, ""},
	{"https://ehr.example.org/api/fhir/documents//b", Closed, ""},
	{"https://ehr.example.org/api/fhir/documents;a=b/c", Closed, ""},
	{"https://ehr.example.org/api/fhir/documents%3ba=b/c", Closed, ""},
	{"https://ehr.example.org/api/fhir/documents/a%00b", Closed, ""},
	{"https://ehr.example.org/api/fhir/documents\\..\\Patient\\b", Closed, ""},
	{"https://ehr.example.org/api/fhir/documents/", Closed, ""},
	{"https://u:p@ehr.example.org/api/fhir/documents/b", Closed, ""},
	{"http://ehr.example.org/api/fhir/documents/b", Closed, ""},
	{"https://ehr.example.org:8443/api/fhir/documents/b", Closed, ""},
	{"https://ehr.example.org/api/fhir2/documents/b", Closed, ""},
	{"https://ehr.example.org/api/FHIR/Patient/b", Closed, ""},
	{"https://ehr.example.org/", Closed, ""},
	{"https://ehr.example.org./api/fhir/documents/b", Closed, ""},
	{"https://files.example.org/storehouse/b", Closed, ""},
	{"https://files.example.org/store", Closed, ""},
	{"https://files.example.org/store/%2e%2e/b", Closed, ""},
	{"https://viewer.example.com/?src=https://ehr.example.org/api/fhir/Binary/b", Closed, ""},
	{"https://viewer.example.com/?src=https%253A%252F%252Fehr%252Eexample.org", Closed, ""},
	{"https://ehr.example.org/api/fhir/%zz", Closed, ""},

	{"https://ehr.example.org.evil.example/api/fhir/Binary/b", Elsewhere, ""},
	{"https://myehr.example.org/api/fhir/Binary/b", Elsewhere, ""},
	{"https://ehr.example.organic/", Elsewhere, ""},
	{"https://portico.example.org/fhir/ehr/Binary/_x", Elsewhere, ""},
	{"data:text/plain,ehr.example.org", Elsewhere, ""},
	{"urn:uuid:1", Elsewhere, ""},
	{"", Elsewhere, ""},
	{"#p1", Elsewhere, ""},

	{"Binary/b", Stored, "https://ehr.example.org/api/fhir/Binary/b"},
	{"https://EHR.example.org:443/api/fhir/Binary/b#page=2", Stored, "https://ehr.example.org/api/fhir/Binary/b"},
	{"https://ehr.example.org/api/fhir/Binary/b/_history/2", Stored, "https://ehr.example.org/api/fhir/Binary/b/_history/2"},
	{"documents/b%20c.pdf?v=2", Stored, "https://ehr.example.org/api/fhir/documents/b%20c.pdf?v=2"},
	{"https://files.example.org/store/b?sig=x", Stored, "https://files.example.org/store/b?sig=x"},
}

func TestLocate(t *testing.T) {
	l := aLocator(t)
	for _, tt := range located {
		if at := l.Locate(tt.text); at.Place != tt.place || tt.url != "" && at.URL != tt.url {
			t.Errorf("%s: %v %s", tt.text, at.Place, at.URL)
		}
	}
}

func FuzzLocate(f *testing.F) {
	for _, tt := range located {
		f.Add(tt.text)
	}
	l := aLocator(f)
	f.Fuzz(func(t *testing.T, text string) {
		at := l.Locate(text)
		switch at.Place {
		case Stored:
			inside := upstream.Within(l.base, at.URL)
			for _, p := range l.places {
				inside = inside || upstream.Within(p, at.URL)
			}
			u, err := url.Parse(at.URL)
			if err != nil || !inside || u.User != nil || u.Fragment != "" {
				t.Fatalf("%q would be fetched from %q", text, at.URL)
			}
			first, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/api/fhir/"), "/")
			if upstream.Within(l.base, at.URL) && l.types[strings.ToLower(first)] && at.Binary == "" {
				t.Fatalf("%q would give a record as a file", text)
			}
			if again := l.Locate(at.URL); again != at {
				t.Fatalf("%q is another place the second time", text)
			}
		case Elsewhere:
			if lower := strings.ToLower(text); !strings.HasPrefix(lower, "data:") && strings.Contains(lower, "//ehr.example.org/") {
				t.Fatalf("%q leaves as it is", text)
			}
		case Spoken, Closed:
		}
	})
}
