package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

// scripted is an upstream that answers from functions and counts reads.
type scripted struct {
	read   func(typ, id string) string // "" is missing
	search func(typ string) string
	known  upstream.Capabilities
	reads  atomic.Int64
}

var _ upstream.Reader = (*scripted)(nil)

func answerOf(body string) (*upstream.Answer, error) {
	if body == "" {
		return nil, fault.New(fault.NotFound, "Not found.")
	}
	return &upstream.Answer{Body: io.NopCloser(strings.NewReader(body))}, nil
}

func (s *scripted) Read(_ context.Context, typ, id string) (*upstream.Answer, error) {
	s.reads.Add(1)
	return answerOf(s.read(typ, id))
}

func (s *scripted) Search(_ context.Context, typ, _ string) (*upstream.Answer, error) {
	return answerOf(s.search(typ))
}

func (s *scripted) Next(_ context.Context, url string) (*upstream.Answer, error) {
	return answerOf(s.search(url[strings.LastIndexByte(url, '=')+1:]))
}

func (s *scripted) Capabilities(context.Context) (*upstream.Capabilities, error) {
	return &s.known, nil
}

// reached are a device and a file that only other resources lead to.
func reached(more ...string) []string {
	return append(more,
		`{"resourceType":"Patient","id":"alice"}`,
		`{"resourceType":"Device","id":"meter"}`,
		`{"resourceType":"Binary","id":"file","contentType":"text/plain","data":"eA=="}`)
}

func TestWhatLeadsToAResourceMustBeReadableWithTheToken(t *testing.T) {
	h := open(t, 0, reached(`{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/alice"},"device":{"reference":"Device/meter"}}`)...)
	const deviceAlone = "alice:patient/Device.rs"
	if r := h.get("/Device/meter", deviceAlone); r.status != http.StatusNotFound {
		t.Errorf("with nothing to lead there: %d", r.status)
	}
	if r := h.get("/Device/meter", "alice:patient/Device.rs+patient/Observation.rs"); r.status != http.StatusOK {
		t.Errorf("with an observation that leads there: %d %s", r.status, r.body)
	}
	// By now it is remembered that the observation leads there.
	if r := h.get("/Device/meter", deviceAlone); r.status != http.StatusNotFound {
		t.Errorf("a memory counts for more than the scopes: %d", r.status)
	}
	if r := h.get("/Device/meter", "carol:patient/*.rs"); r.status != http.StatusNotFound {
		t.Errorf("a memory of another patient's counts: %d", r.status)
	}
}

func TestADirectoryEntryLeadsNowhere(t *testing.T) {
	h := open(t, 0, reached(`{"resourceType":"Practitioner","id":"dr","photo":[{"url":"Binary/file"}]}`)...)
	if r := h.get("/Practitioner/dr", alice); r.status != http.StatusOK {
		t.Fatalf("%d", r.status)
	}
	if r := h.get("/Binary/file", alice); r.status != http.StatusNotFound {
		t.Errorf("what everybody may see opens a file: %d", r.status)
	}
}

func TestProofsCostTheUpstreamABoundedNumberOfReads(t *testing.T) {
	entries := make([]string, 300)
	for i := range entries {
		entries[i] = fmt.Sprintf(`{"resource":{"resourceType":"Provenance","id":"p-%d","target":[{"reference":"Observation/o-%d"}]},"search":{"mode":"match"}}`, i, i)
	}
	ehr := &scripted{
		read:   func(string, string) string { return "" },
		search: func(string) string { return `{"resourceType":"Bundle","entry":[` + strings.Join(entries, ",") + `]}` },
	}
	r := openOver(t, ehr, somewhere(t), 0).get("/Provenance", alice)
	if r.status != http.StatusOK || strings.Contains(r.body, "p-1") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if n := ehr.reads.Load(); n != 100 {
		t.Errorf("%d reads for one request", n)
	}
	for i := range entries {
		entries[i] = strings.Replace(entries[0], `"p-0"`, fmt.Sprintf(`"p-%d"`, i), 1)
	}
	ehr.reads.Store(0)
	if r := openOver(t, ehr, somewhere(t), 0).get("/Provenance", alice); r.status != http.StatusOK || ehr.reads.Load() != 1 {
		t.Errorf("%d, %d reads of one target", r.status, ehr.reads.Load())
	}
}

func TestAProofThatIsNotFoundOnManyPagesIsNone(t *testing.T) {
	ehr := &scripted{
		read: func(typ, id string) string { return fmt.Sprintf(`{"resourceType":%q,"id":%q}`, typ, id) },
		search: func(typ string) string {
			return `{"resourceType":"Bundle","link":[{"relation":"next","url":"https://ehr.example.org/fhir?more=` + typ + `"}]}`
		},
	}
	if r := openOver(t, ehr, somewhere(t), 0).get("/Binary/file", alice); r.status != http.StatusNotFound {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// What an answer costs is seen in how long it takes.
func TestForeignAndMissingCostTheUpstreamTheSame(t *testing.T) {
	resources := append(twoRecords(),
		`{"resourceType":"Device","id":"nobodys-`+mark+`"}`, `{"resourceType":"Specimen","id":"nobodys-`+mark+`"}`,
		`{"resourceType":"Substance","id":"nobodys-`+mark+`","code":{"text":"x"}}`, `{"resourceType":"DeviceMetric","id":"nobodys-`+mark+`"}`,
		`{"resourceType":"EnrollmentResponse","id":"nobodys-`+mark+`"}`, `{"resourceType":"Provenance","id":"prov-of-`+mark+`","target":[{"reference":"Patient/`+bobID+`"}],"recorded":"2024-01-01T00:00:00Z"}`, `{"resourceType":"EnrollmentResponse","id":"enrolled-`+mark+`","request":{"reference":"EnrollmentRequest/enrollmentrequest-`+bobID+`"}}`)
	h := open(t, 0, resources...)
	var asked atomic.Int64
	h.ehr.MisbehaveWhen(0, func(*http.Request) bool { asked.Add(1); return false })
	cost := func(path string) int64 {
		before := asked.Load()
		if r := h.get(path, alice); r.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.status)
		}
		return asked.Load() - before
	}
	cost("/Observation/none") // the upstream's metadata are asked for with the first request
	tried := 0
	for _, raw := range resources {
		r, err := fhir.ParseResource([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		// Of what both are part of, the patient's own part is looked at as well.
		if !strings.Contains(r.ID(), mark) || strings.Contains(r.ID(), "both") || !compartment.Of(r.Type()).Class.Served() {
			continue
		}
		tried++
		for _, version := range []string{"", "/_history", "/_history/1"} {
			if foreign, missing := cost("/"+r.Type()+"/"+r.ID()+version), cost("/"+r.Type()+"/none-"+r.ID()+version); foreign != missing {
				t.Errorf("%s/%s%s costs %d requests, a missing one %d", r.Type(), r.ID(), version, foreign, missing)
			}
		}
	}
	if tried < 60 {
		t.Errorf("only %d resources tried", tried)
	}
}
