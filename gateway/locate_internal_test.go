package gateway

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/seal"
	"github.com/portico-fhir/portico/smart/token"
)

func baseOf(t testing.TB, text string) fhir.Base {
	t.Helper()
	b, err := fhir.ParseBase(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func aLocator(t testing.TB) *locator {
	t.Helper()
	l, err := newLocator(baseOf(t, "https://ehr.example.org/api/fhir"), baseOf(t, "https://portico.example.org/fhir/ehr"), []fhir.Base{baseOf(t, "https://files.example.org/store")})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// located are URLs of attachments with what they lead to, and for files where.
var located = []struct {
	text  string
	place place
	url   string
}{
	{"https://ehr.example.org/api/fhir/patient/b", spoken, ""},
	{"https://ehr.example.org/api/fhir/%50atient/b", spoken, ""},
	{"https://ehr.example.org/api/fhir/Patient", spoken, ""},
	{"https://ehr.example.org/api/fhir/Binary?_id=b", spoken, ""},
	{"https://ehr.example.org/api/fhir/Binary/b?_format=json", spoken, ""},
	{"https://ehr.example.org/api/fhir/Binary", spoken, ""},
	{"https://ehr.example.org/api/fhir/$export", spoken, ""},
	{"https://ehr.example.org/api/fhir/_history", spoken, ""},
	{"https://ehr.example.org/api/fhir/metadata", spoken, ""},
	{"https://ehr.example.org/api/fhir/.well-known/x", spoken, ""},
	{"https://ehr.example.org/api/fhir/?_getpages=x", spoken, ""},
	{"documents/../Patient/b", spoken, ""},
	{"/api/fhir/Patient/b", spoken, ""},
	{"//ehr.example.org/api/fhir/Patient/b", spoken, ""},
	{"https://ehr.example.org/api/fhir/documents/%2e%2e/Patient/b", closedPlace, ""},
	{"https://ehr.example.org/api/fhir/documents/%2E%2e%2fPatient/b", closedPlace, ""},
	{"https://ehr.example.org/api/fhir/documents/%252e%252e/Patient", closedPlace, ""},
	{"https://ehr.example.org/api/fhir//Patient/b", closedPlace, ""},
	{"https://ehr.example.org/api/fhir/documents//b", closedPlace, ""},
	{"https://ehr.example.org/api/fhir/documents;a=b/c", closedPlace, ""},
	{"https://ehr.example.org/api/fhir/documents%3ba=b/c", closedPlace, ""},
	{"https://ehr.example.org/api/fhir/documents/a%00b", closedPlace, ""},
	{"https://ehr.example.org/api/fhir/documents\\..\\Patient\\b", closedPlace, ""},
	{"https://ehr.example.org/api/fhir/documents/", closedPlace, ""},
	{"https://u:p@ehr.example.org/api/fhir/documents/b", closedPlace, ""},
	{"http://ehr.example.org/api/fhir/documents/b", closedPlace, ""},
	{"https://ehr.example.org:8443/api/fhir/documents/b", closedPlace, ""},
	{"https://ehr.example.org/api/fhir2/documents/b", closedPlace, ""},
	{"https://ehr.example.org/api/FHIR/Patient/b", closedPlace, ""},
	{"https://ehr.example.org/", closedPlace, ""},
	{"https://ehr.example.org./api/fhir/documents/b", closedPlace, ""},
	{"https://files.example.org/storehouse/b", closedPlace, ""},
	{"https://files.example.org/store", closedPlace, ""},
	{"https://files.example.org/store/%2e%2e/b", closedPlace, ""},
	{"https://viewer.example.com/?src=https://ehr.example.org/api/fhir/Binary/b", closedPlace, ""},
	{"https://viewer.example.com/?src=https%253A%252F%252Fehr%252Eexample.org", closedPlace, ""},
	{"https://ehr.example.org/api/fhir/%zz", closedPlace, ""},

	{"https://ehr.example.org.evil.example/api/fhir/Binary/b", elsewhere, ""},
	{"https://myehr.example.org/api/fhir/Binary/b", elsewhere, ""},
	{"https://ehr.example.organic/", elsewhere, ""},
	{"https://portico.example.org/fhir/ehr/Binary/_x", elsewhere, ""},
	{"data:text/plain,ehr.example.org", elsewhere, ""},
	{"urn:uuid:1", elsewhere, ""},
	{"", elsewhere, ""},
	{"#p1", elsewhere, ""},

	{"Binary/b", stored, "https://ehr.example.org/api/fhir/Binary/b"},
	{"https://EHR.example.org:443/api/fhir/Binary/b#page=2", stored, "https://ehr.example.org/api/fhir/Binary/b"},
	{"https://ehr.example.org/api/fhir/Binary/b/_history/2", stored, "https://ehr.example.org/api/fhir/Binary/b/_history/2"},
	{"documents/b%20c.pdf?v=2", stored, "https://ehr.example.org/api/fhir/documents/b%20c.pdf?v=2"},
	{"https://files.example.org/store/b?sig=x", stored, "https://files.example.org/store/b?sig=x"},
}

func TestLocate(t *testing.T) {
	l := aLocator(t)
	for _, tt := range located {
		if at := l.locate(tt.text); at.place != tt.place || tt.url != "" && at.url != tt.url {
			t.Errorf("%s: %v %s", tt.text, at.place, at.url)
		}
	}
}

func FuzzLocate(f *testing.F) {
	for _, tt := range located {
		f.Add(tt.text)
	}
	l := aLocator(f)
	f.Fuzz(func(t *testing.T, text string) {
		at := l.locate(text)
		switch at.place {
		case stored:
			inside := upstream.Within(l.base, at.url)
			for _, p := range l.places {
				inside = inside || upstream.Within(p, at.url)
			}
			u, err := url.Parse(at.url)
			if err != nil || !inside || u.User != nil || u.Fragment != "" {
				t.Fatalf("%q would be fetched from %q", text, at.url)
			}
			first, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/api/fhir/"), "/")
			if upstream.Within(l.base, at.url) && l.types[strings.ToLower(first)] && at.binary == "" {
				t.Fatalf("%q would give a record as a file", text)
			}
			if again := l.locate(at.url); again != at {
				t.Fatalf("%q is another place the second time", text)
			}
		case elsewhere:
			if lower := strings.ToLower(text); !strings.HasPrefix(lower, "data:") && strings.Contains(lower, "//ehr.example.org/") {
				t.Fatalf("%q leaves as it is", text)
			}
		case spoken, closedPlace:
		}
	})
}

func aGateway(t testing.TB, now func() time.Time) (*Gateway, *exchange) {
	t.Helper()
	ring, err := seal.NewRing(bytes.Repeat([]byte("k"), seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	files, err := ring.For("file")
	if err != nil {
		t.Fatal(err)
	}
	l := aLocator(t)
	src := &source{Source: Source{ID: "ehr", Base: l.base}, publicBase: l.public.String(), where: l}
	return &Gateway{files: files, now: now}, &exchange{src: src, grant: token.Grant{Patient: "alice"}}
}

func TestAHandleBringsItsTargetBack(t *testing.T) {
	g, x := aGateway(t, time.Now)
	for _, tt := range located {
		at := x.src.where.locate(tt.text)
		if at.place == elsewhere {
			continue
		}
		handle, ours := strings.CutPrefix(g.fileLink(x, at), "https://portico.example.org/fhir/ehr/Binary/_")
		if !ours || fhir.ValidID("_"+handle) {
			t.Fatalf("%s: the handle could be an id", tt.text)
		}
		back, good := g.openHandle(x, handle)
		if good != (at.place == stored) || good && back != at {
			t.Errorf("%s: %v %+v, was %+v", tt.text, good, back, at)
		}
		for _, other := range []*exchange{{src: x.src, grant: token.Grant{Patient: "bob"}}, {src: &source{Source: Source{ID: "ehr2", Base: x.src.Base}, where: x.src.where}, grant: x.grant}} {
			if _, opens := g.openHandle(other, handle); opens {
				t.Errorf("%s opens for somebody else", tt.text)
			}
		}
	}
}

func FuzzOpenHandle(f *testing.F) {
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	g, x := aGateway(f, func() time.Time { return now })
	ours := map[string]bool{}
	for _, text := range []string{"Binary/b", "documents/b", "https://files.example.org/store/b", "https://ehr.example.org/x"} {
		link := g.fileLink(x, x.src.where.locate(text))
		handle := link[strings.LastIndex(link, "_")+1:]
		if i := strings.Index(link, "/Binary/_"); i >= 0 {
			handle = link[i+len("/Binary/_"):]
		}
		ours[handle] = true
		f.Add(handle)
		f.Add(handle + "A")
		f.Add(handle[:len(handle)-1])
		f.Add(strings.ToLower(handle))
		f.Add(handle + "=")
	}
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, handle string) {
		if at, good := g.openHandle(x, handle); good && (!ours[handle] || at.place != stored) {
			t.Fatalf("%q opens %+v", handle, at)
		}
	})
}
