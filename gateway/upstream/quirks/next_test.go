package quirks_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/quirks"
	"github.com/portico-fhir/portico/internal/fault"
)

// heard notes what it is asked and has nothing.
type heard struct {
	t    testing.TB
	base fhir.Base
}

func (h heard) nothing() (*upstream.Answer, error) {
	return &upstream.Answer{Body: io.NopCloser(strings.NewReader(`{"resourceType":"Bundle","type":"searchset"}`))}, nil
}

func (h heard) Read(_ context.Context, typ, id string) (*upstream.Answer, error) {
	if !fhir.ValidID(id) || !search.IsResourceType(typ) {
		h.t.Errorf("reads %q %q", typ, id)
	}
	return h.nothing()
}

func (h heard) Search(_ context.Context, typ, query string) (*upstream.Answer, error) {
	if pairs, err := search.ParsePairs(query); err != nil || !search.IsResourceType(typ) {
		h.t.Errorf("searches %q %q", typ, query)
	} else if _, err := search.Parse(typ, pairs, search.Options{Strict: true, Trusted: true}); err != nil {
		h.t.Errorf("searches %q %q: %v", typ, query, err)
	}
	return h.nothing()
}

func (h heard) Next(_ context.Context, url string) (*upstream.Answer, error) {
	return h.nothing()
}

func (h heard) Capabilities(context.Context) (*upstream.Capabilities, error) {
	return &upstream.Capabilities{}, nil
}

// strict is heard, below which nothing outside the base may be asked for by an
// address that this package made.
type strict struct{ heard }

func (s strict) Next(ctx context.Context, url string) (*upstream.Answer, error) {
	if _, below := s.base.Relative(url); !below && !strings.HasPrefix(url, s.base.String()+"?") {
		s.t.Errorf("follows %q", url)
	}
	return s.heard.Next(ctx, url)
}

func address(json string) string {
	return "portico-quirk:" + base64.RawURLEncoding.EncodeToString([]byte(json))
}

func FuzzNext(f *testing.F) {
	for _, seed := range []string{
		`{"t":"Observation","q":"patient=1"}`, `{"t":"Observation","q":"patient=1","c":3,"s":7}`,
		`{"t":"Observation","q":"patient=1","u":"http://ehr.example/fhir/Observation?page=2"}`,
		`{"t":"Observation","q":"patient=1","u":"http://elsewhere.invalid/fhir"}`, `{"t":"Nonsense","q":""}`,
		`{"t":"Observation","q":"","c":-1}`, `{"t":"Observation","q":"_has:x=1"}`, `{"t":"Patient","q":"_id=../x"}`, `[]`, `{"t":"Observation","q":"patient=1","x":1}`,
	} {
		f.Add(address(seed))
	}
	base, err := fhir.ParseBase("http://ehr.example/fhir")
	if err != nil {
		f.Fatal(err)
	}
	p := named(f, "epic")
	f.Fuzz(func(t *testing.T, link string) {
		if !strings.HasPrefix(link, "portico-quirk:") {
			link = address(link)
		}
		r, err := quirks.New(quirks.Options{Upstream: strict{heard{t, base}}, Base: base, Profile: p})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := r.Next(t.Context(), link)
		if err != nil {
			return
		}
		defer func() { _ = answer.Body.Close() }()
		reader := fhir.NewBundleReader(answer.Body, 1<<20)
		for {
			if _, err := reader.Next(); err != nil {
				return
			}
		}
	})
}

func TestAPageAddressThatIsNoneOfOursLeadsNowhere(t *testing.T) {
	base, err := fhir.ParseBase("http://ehr.example/fhir")
	if err != nil {
		t.Fatal(err)
	}
	for name, link := range map[string]string{
		"another host":           address(`{"t":"Observation","q":"patient=1","u":"http://elsewhere.invalid/fhir/Observation"}`),
		"beside the base":        address(`{"t":"Observation","q":"patient=1","u":"http://ehr.example/fhirx/Observation"}`),
		"relative":               address(`{"t":"Observation","q":"patient=1","u":"Observation?page=2"}`),
		"a type there is not":    address(`{"t":"../admin","q":"patient=1"}`),
		"a call there is not":    address(`{"t":"Observation","q":"patient=1&code=a","c":50}`),
		"before the first":       address(`{"t":"Observation","q":"patient=1","s":-1}`),
		"a query nobody can ask": address(`{"t":"Observation","q":"_has:Group:member:_id=1"}`),
		"more than we write":     address(`{"t":"Observation","q":"patient=1","admin":true}`),
		"twice":                  address(`{"t":"Observation","q":"patient=1"}{}`),
		"padded":                 address(`{"t":"Observation","q":"patient=1"}`) + "=",
		"too long":               address(`{"t":"Observation","q":"` + strings.Repeat("x", 20<<10) + `"}`),
	} {
		r, err := quirks.New(quirks.Options{Upstream: strict{heard{t, base}}, Base: base, Profile: named(t, "epic")})
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := r.Next(t.Context(), link); err == nil {
			_ = answer.Body.Close()
			t.Errorf("%s: an answer", name)
		}
	}
}

// endless has pages without end, each with nothing on it.
type endless struct {
	heard
	asked *int
}

func (e endless) page(ctx context.Context) (*upstream.Answer, error) {
	if *e.asked++; ctx.Err() != nil || *e.asked > 2000 {
		return nil, fault.New(fault.Unavailable, "enough")
	}
	return &upstream.Answer{Body: io.NopCloser(strings.NewReader(
		`{"resourceType":"Bundle","type":"searchset","link":[{"relation":"next","url":"` + e.base.String() + `/Provenance?page=2"}]}`))}, nil
}

func (e endless) Search(ctx context.Context, typ, query string) (*upstream.Answer, error) {
	if typ != "Observation" {
		return e.page(ctx)
	}
	return &upstream.Answer{Body: io.NopCloser(strings.NewReader(`{"resourceType":"Bundle","type":"searchset","entry":[{"resource":` +
		`{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/a"}}}]}`))}, nil
}

func (e endless) Next(ctx context.Context, _ string) (*upstream.Answer, error) { return e.page(ctx) }

// A server whose link to the next page leads to the same page for ever must not
// be asked for ever.
func TestPagesWithoutEndOfWhatIsFollowedEnd(t *testing.T) {
	base, err := fhir.ParseBase("https://ehr.example.org/fhir")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	r, err := quirks.New(quirks.Options{
		Upstream: endless{heard{t, base}, &asked}, Base: base,
		Profile: profile(t, "search: {never: [_revinclude]}"),
	})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := r.Search(t.Context(), "Observation", "patient=a&_revinclude=Provenance:target")
	if err == nil {
		_, err = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
	}
	if asked > 510 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	if asked == 0 {
		t.Error("nothing was followed")
	}
}

// folder gives one page to whatever it is asked, and counts the files.
type folder struct {
	heard
	page  string
	files *int
}

func (f folder) Search(context.Context, string, string) (*upstream.Answer, error) {
	return &upstream.Answer{Body: io.NopCloser(strings.NewReader(f.page))}, nil
}

func (f folder) Next(context.Context, string) (*upstream.Answer, error) {
	*f.files++
	return nil, fault.New(fault.NotFound, "Not found.")
}

// The page is as large as one may be, and each of its names is another. Reading
// it once is a matter of moments; comparing each with each would be one of hours.
func TestAFolderWithTooManyNamesIsRefusedAtOnce(t *testing.T) {
	base, err := fhir.ParseBase("https://ehr.example.org/fhir")
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	_, _ = page.WriteString("<title>Index of /</title>")
	for i := 0; page.Len() < 7<<20; i++ {
		_, _ = fmt.Fprintf(&page, `<a href="%d">`, i)
	}
	files := 0
	r, err := quirks.New(quirks.Options{Upstream: folder{heard{t, base}, page.String(), &files}, Base: base, Profile: profile(t, "search: {how: list}")})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := r.Search(t.Context(), "Observation", "patient=a")
	if err == nil {
		_ = answer.Body.Close()
	}
	if fault.KindOf(err) != fault.Unsupported || files != 0 {
		t.Errorf("%v after %d files", err, files)
	}
}
