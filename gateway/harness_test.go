package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/fhirserver"
	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/seal"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

// house is a gateway over an embedded EHR, both on real connections.
type house struct {
	t      testing.TB
	ehr    *ehr.Server
	origin string // of the EHR
	base   string // the public FHIR base
	sink   *sink
	// connector is what the gateway asks the EHR with.
	connector *fhirserver.Server
	client    *http.Client
	// gateway is what serves base, for what no app can ask.
	gateway *gateway.Gateway
}

// bearers are the tokens that the house knows: "patient:scopes", or
// "patient@app:scopes" for another app than the patient's usual one.
type bearers struct{}

func (bearers) Authenticate(_ context.Context, bearer string) (token.Grant, token.Access, scope.Set, error) {
	patient, scopes, found := strings.Cut(bearer, ":")
	if !found {
		return token.Grant{}, token.Access{}, scope.Set{}, fault.New(fault.Unauthenticated, "not a token")
	}
	source := "ehr"
	if rest, ok := strings.CutPrefix(patient, "elsewhere/"); ok {
		patient, source = rest, "elsewhere"
	}
	patient, person, acting := strings.Cut(patient, "~") // "alice~RelatedPerson/mum": who acts
	if !acting {
		person = "Patient/" + patient
	}
	patient, app, other := strings.Cut(patient, "@")
	if !other {
		app = "app-" + patient
	}
	set, err := scope.Parse(strings.ReplaceAll(scopes, "+", " "))
	if err != nil {
		return token.Grant{}, token.Access{}, scope.Set{}, err
	}
	until := time.Now().Add(time.Hour)
	if patient == "expired" {
		until = time.Now().Add(-time.Second)
	}
	return token.Grant{ID: "grant-1", Client: app, Source: source, Patient: patient, PersonIssuer: "iss", PersonSubject: "sub", FHIRUser: person, Expires: until},
		token.Access{Expires: until}, set, nil
}

// sink keeps events in memory, or refuses them.
type sink struct {
	mu     sync.Mutex
	events []audit.Event
	broken bool
	// breakAfter, when not 0, is the number of the next event that is not kept.
	breakAfter int
}

func (s *sink) Record(_ context.Context, e audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return errors.New("disk full")
	}
	if s.breakAfter > 0 {
		if s.breakAfter--; s.breakAfter == 0 {
			s.broken = true
			return errors.New("disk full")
		}
	}
	if err := audit.Validate(e); err != nil {
		return err
	}
	s.events = append(s.events, e)
	return nil
}

func (s *sink) take() []audit.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.events
	s.events = nil
	return out
}

func open(t testing.TB, hold int, resources ...string) *house {
	t.Helper()
	return openWith(t, hold, nil, resources...)
}

// openWith is open with other options.
func openWith(t testing.TB, hold int, change func(*gateway.Options), resources ...string) *house {
	t.Helper()
	hospital := ehr.New(ehr.Options{Delay: 50 * time.Millisecond, DripPause: time.Millisecond})
	for _, raw := range resources {
		if err := hospital.Load([]byte(raw)); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
	}
	up := httptest.NewServer(hospital)
	t.Cleanup(up.Close)
	connector, base := connect(t, up.URL, 2*time.Second)
	var changes []func(*gateway.Options)
	if change != nil {
		changes = append(changes, func(o *gateway.Options) { o.Sources[0].Writes = connector }, change)
	}
	h := openOver(t, connector, base, hold, changes...)
	h.ehr, h.origin, h.connector = hospital, up.URL, connector
	return h
}

// connect gives what asks the server of that origin, and its base; timeout is that of
// fhirserver when 0.
func connect(t testing.TB, origin string, timeout time.Duration) (*fhirserver.Server, fhir.Base) {
	t.Helper()
	base, err := fhir.ParseBase(origin + "/fhir")
	if err != nil {
		t.Fatal(err)
	}
	connector, err := fhirserver.New(fhirserver.Options{Base: base, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return connector, base
}

// openOver is a gateway over any upstream whose base is as given.
func openOver(t testing.TB, up upstream.Reader, base fhir.Base, hold int, change ...func(*gateway.Options)) *house {
	t.Helper()
	ring, err := seal.NewRing(bytes.Repeat([]byte("k"), seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := ring.For("page")
	if err != nil {
		t.Fatal(err)
	}
	files, err := ring.For("file")
	if err != nil {
		t.Fatal(err)
	}
	tickets, err := ring.For("explain")
	if err != nil {
		t.Fatal(err)
	}
	router := mux.NewRouter().SkipClean(true).UseEncodedPath()
	public := httptest.NewServer(router)
	t.Cleanup(public.Close)
	events := &sink{}
	versions, _ := up.(upstream.Historian)
	o := gateway.Options{
		PublicURL: public.URL, Sources: []gateway.Source{{ID: "ehr", Name: "The hospital", Base: base, Upstream: up, Versions: versions, Files: opener(up)}},
		Tokens: bearers{}, Audit: events, Pages: pages, Tickets: tickets, Files: files, HoldBytes: hold,
		SMART:        func(string) http.Handler { return http.NotFoundHandler() },
		AuthorizeURL: public.URL + "/oauth/authorize", TokenURL: public.URL + "/oauth/token",
	}
	for _, c := range change {
		c(&o)
	}
	g, err := gateway.New(o)
	if err != nil {
		t.Fatal(err)
	}
	g.Mount(router)
	return &house{t: t, base: public.URL + "/fhir/ehr", sink: events, gateway: g,
		client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// opener is an upstream that gives files, nil for one that does not.
func opener(up upstream.Reader) upstream.Opener {
	files, _ := up.(upstream.Opener)
	return files
}

// reply is all that an app can see of an answer.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // reading the body failed: a broken connection
}

func (r reply) everything() string {
	return fmt.Sprint(r.status, r.header, r.body)
}

// send makes a request exactly as it stands: the path is not cleaned.
func (h *house) send(method, path, bearer, form string, headers ...string) reply {
	h.t.Helper()
	var body io.Reader
	if form != "" {
		body = strings.NewReader(form)
	}
	target := path
	if !strings.HasPrefix(path, "http") {
		target = h.base + path
	}
	req, err := http.NewRequestWithContext(context.Background(), method, target, body)
	if err != nil {
		h.t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Content-Type" {
			req.Header.Del(headers[i])
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(raw), err}
}

func (h *house) get(path, bearer string, headers ...string) reply {
	h.t.Helper()
	return h.send(http.MethodGet, path, bearer, "", headers...)
}

// The two patients of most tests. Everything of bob's carries his mark: his ids,
// and the words inside besides his secret.
const (
	alice  = "alice:patient/*.rs"
	mark   = "bobsmark"
	secret = "bobsecret"
	bobID  = "bob-" + mark
)

// twoRecords gives both patients one resource of every type that can belong to
// a patient, and what they share.
func twoRecords() []string {
	var out []string
	for _, typ := range compartment.Types() {
		rule := compartment.Of(typ)
		if rule.Class != compartment.Own && rule.Class != compartment.Shared && typ != "Device" && typ != "Specimen" {
			continue
		}
		paths := rule.Owners
		if len(paths) == 0 {
			paths = rule.Participants[:1]
		}
		for id, text := range map[string]string{"alice": "hers", bobID: secret} {
			out = append(out, fmt.Sprintf(`{"resourceType":%q,"id":%q,"identifier":[{"system":"urn:x","value":%q}],%s}`,
				typ, strings.ToLower(typ)+"-"+id, text, nested(paths[0], fmt.Sprintf(`{"reference":"Patient/%s","display":%q}`, id, text))))
		}
	}
	return append(out,
		`{"resourceType":"Patient","id":"alice","name":[{"family":"Alder"}],"birthDate":"1980-01-01","gender":"female"}`,
		`{"resourceType":"Patient","id":"`+bobID+`","name":[{"family":"`+secret+`"}],"birthDate":"1970-01-01","gender":"male","link":[{"other":{"reference":"Patient/alice"},"type":"seealso"}]}`,
		`{"resourceType":"Appointment","id":"group-visit","status":"booked","participant":[{"actor":{"reference":"Patient/alice"},"status":"accepted"},{"actor":{"reference":"Patient/`+bobID+`","display":"`+secret+`"},"status":"accepted"},{"actor":{"reference":"Practitioner/dr"},"status":"accepted"}]}`,
		`{"resourceType":"Practitioner","id":"dr","name":[{"family":"House"}]}`,
		`{"resourceType":"Provenance","id":"prov-alice","target":[{"reference":"Observation/observation-alice"}],"recorded":"2024-01-01T00:00:00Z"}`,
		`{"resourceType":"Provenance","id":"prov-`+mark+`","target":[{"reference":"Observation/observation-`+bobID+`"}],"recorded":"2024-01-01T00:00:00Z"}`,
		`{"resourceType":"Provenance","id":"prov-both-`+mark+`","target":[{"reference":"Observation/observation-alice"},{"reference":"Observation/observation-`+bobID+`"}],"recorded":"2024-01-01T00:00:00Z"}`,
		`{"resourceType":"Binary","id":"bin-`+mark+`","contentType":"text/plain","data":"Ym9ic2VjcmV0"}`,
		`{"resourceType":"Binary","id":"bin-alice","contentType":"text/plain","data":"aGVycw=="}`,
		`{"resourceType":"DocumentReference","id":"note-alice","subject":{"reference":"Patient/alice"},"content":[{"attachment":{"contentType":"text/plain","url":"Binary/bin-alice"}}]}`,
		`{"resourceType":"DocumentReference","id":"note-`+mark+`","subject":{"reference":"Patient/`+bobID+`"},"content":[{"attachment":{"contentType":"text/plain","url":"Binary/bin-`+mark+`"}}]}`,
		`{"resourceType":"Communication","id":"said-by-`+mark+`","subject":{"reference":"Patient/`+bobID+`"},"recipient":[{"reference":"Patient/alice"}],"payload":[{"contentString":"`+secret+`"}]}`,
		`{"resourceType":"Group","id":"`+mark+`-group","type":"person","actual":true,"member":[{"entity":{"reference":"Patient/`+bobID+`"}}]}`,
		`{"resourceType":"PaymentNotice","id":"pay-`+mark+`","request":{"reference":"Claim/claim-`+bobID+`"}}`,
		`{"resourceType":"PaymentNotice","id":"pay-alice","request":{"reference":"Claim/claim-alice"}}`,
		`{"resourceType":"ValueSet","id":"vs-`+mark+`","status":"active"}`,
	)
}

// nested builds the JSON member for a dotted path with every step in an array
// but the last.
func nested(path, value string) string {
	name, rest, deeper := strings.Cut(path, ".")
	if !deeper {
		return fmt.Sprintf("%q:%s", name, value)
	}
	return fmt.Sprintf("%q:[{%s}]", name, nested(rest, value))
}

// baseOf gives the base of a house's EHR.
func baseOf(t testing.TB, h *house) fhir.Base {
	t.Helper()
	base, err := fhir.ParseBase(h.origin + "/fhir")
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// ask makes a request that can be given up.
func (h *house) ask(ctx context.Context, path, bearer string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.base+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := h.client.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
