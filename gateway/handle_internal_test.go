package gateway

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/locate"
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

// handled are URLs of attachments of each kind.
var handled = []string{
	"Binary/b", "documents/b%20c.pdf?v=2", "https://ehr.example.org/api/fhir/Binary/b/_history/2", "https://files.example.org/store/b?sig=x",
	"https://ehr.example.org/api/fhir/Patient/b", "https://ehr.example.org/api/fhir/documents/%2e%2e/Patient/b", "https://ehr.example.org/x",
	"https://viewer.example.com/?src=https://ehr.example.org/api/fhir/Binary/b", "https://elsewhere.example/a", "data:text/plain,x",
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
	base, public := baseOf(t, "https://ehr.example.org/api/fhir"), baseOf(t, "https://portico.example.org/fhir/ehr")
	where, err := locate.New(base, public, []fhir.Base{baseOf(t, "https://files.example.org/store")})
	if err != nil {
		t.Fatal(err)
	}
	src := &source{Source: Source{ID: "ehr", Base: base}, publicBase: public.String(), where: where}
	return &Gateway{files: files, now: now}, &exchange{src: src, grant: token.Grant{Patient: "alice"}}
}

func TestAHandleBringsItsTargetBack(t *testing.T) {
	g, x := aGateway(t, time.Now)
	for _, text := range handled {
		at := x.src.where.Locate(text)
		if at.Place == locate.Elsewhere {
			continue
		}
		handle, ours := strings.CutPrefix(g.fileLink(x, at), "https://portico.example.org/fhir/ehr/Binary/_")
		if !ours || fhir.ValidID("_"+handle) {
			t.Fatalf("%s: the handle could be an id", text)
		}
		back, good := g.openHandle(x, handle)
		if good != (at.Place == locate.Stored) || good && back != at {
			t.Errorf("%s: %v %+v, was %+v", text, good, back, at)
		}
		for _, other := range []*exchange{{src: x.src, grant: token.Grant{Patient: "bob"}}, {src: &source{Source: Source{ID: "ehr2", Base: x.src.Base}, where: x.src.where}, grant: x.grant}} {
			if _, opens := g.openHandle(other, handle); opens {
				t.Errorf("%s opens for somebody else", text)
			}
		}
	}
}

func FuzzOpenHandle(f *testing.F) {
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	g, x := aGateway(f, func() time.Time { return now })
	ours := map[string]bool{}
	for _, text := range []string{"Binary/b", "documents/b", "https://files.example.org/store/b", "https://ehr.example.org/x"} {
		link := g.fileLink(x, x.src.where.Locate(text))
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
		if at, good := g.openHandle(x, handle); good && (!ours[handle] || at.Place != locate.Stored) {
			t.Fatalf("%q opens %+v", handle, at)
		}
	})
}
