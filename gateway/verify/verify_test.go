package verify_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/inbound"
	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/fhirserver"
	"github.com/portico-fhir/portico/gateway/verify"
	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/demo/records"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/racing"
	"github.com/portico-fhir/portico/internal/seal"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // net/http prints what an EHR sends too much
	os.Exit(m.Run())
}

// The one who asks is a child with a small record, so that each answer is small;
// the other one takes part in a group visit.
const attacker, victim = "p-00003", "p-00005"

// wholeRun skips what is done without the race detector alone: .ci/test does both.
func wholeRun(t *testing.T) {
	t.Helper()
	if racing.On {
		t.Skip("runs without the race detector")
	}
}

// hospital is an EHR with ten made-up patients.
type hospital struct {
	ehr       *ehr.Server
	url       string
	base      fhir.Base
	connector *fhirserver.Server
	// direct asks what verify asks: it may be told from what the gateway asks.
	direct *fhirserver.Server
	write  bool // whether verify tries to change something
}

// marking tells the EHR that a request comes from nobody who is tested.
type marking struct{ next http.RoundTripper }

func (m marking) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Direct", "yes")
	return m.next.RoundTrip(r)
}

func newHospital(t *testing.T) *hospital {
	t.Helper()
	h := &hospital{ehr: ehr.New(ehr.Options{Delay: time.Millisecond, DripPause: time.Microsecond})}
	if _, err := records.Generate(records.Options{Seed: 1, Patients: 10, Now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}, h.ehr.Load); err != nil {
		t.Fatal(err)
	}
	up := httptest.NewServer(h.ehr)
	t.Cleanup(up.Close)
	h.url = up.URL
	var err error
	if h.base, err = fhir.ParseBase(up.URL + "/fhir"); err != nil {
		t.Fatal(err)
	}
	if h.connector, err = fhirserver.New(fhirserver.Options{Base: h.base}); err != nil {
		t.Fatal(err)
	}
	if h.direct, err = fhirserver.New(fhirserver.Options{Base: h.base, Transport: marking{http.DefaultTransport}}); err != nil {
		t.Fatal(err)
	}
	return h
}

type oneToken struct{}

func (oneToken) Authenticate(_ context.Context, bearer string) (token.Grant, token.Access, scope.Set, error) {
	if bearer != "good" {
		return token.Grant{}, token.Access{}, scope.Set{}, fault.New(fault.Unauthenticated, "not a token")
	}
	set, err := scope.Parse("patient/*.cruds")
	until := time.Now().Add(time.Hour)
	return token.Grant{ID: "g", Client: "verify", Source: "ehr", Patient: attacker, Expires: until}, token.Access{Expires: until}, set, err
}

type unwritten struct{}

func (unwritten) Record(context.Context, audit.Event) error { return nil }

// honest is Portico itself.
func (h *hospital) honest(t *testing.T) http.Handler {
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
	g, err := gateway.New(gateway.Options{
		PublicURL: "http://portico.test", Sources: []gateway.Source{{ID: "ehr", Name: "EHR", Base: h.base, Upstream: h.connector, Versions: h.connector, Files: h.connector, Writes: h.connector, Write: everyWrite()}},
		Tokens: oneToken{}, Audit: unwritten{}, Pages: pages, Files: files, SMART: func(string) http.Handler { return http.NotFoundHandler() },
	})
	if err != nil {
		t.Fatal(err)
	}
	r := mux.NewRouter().SkipClean(true).UseEncodedPath()
	g.Mount(r)
	return r
}

// open is a gateway that forgot its guard: it hands on what it is asked.
func (h *hospital) open(t *testing.T) http.Handler {
	t.Helper()
	target, err := url.Parse(h.url)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.URL.RawPath = ""
		r.Out.URL.Path = strings.Replace(r.Out.URL.Path, "/fhir/ehr", "/fhir", 1)
	}}
}

func (h *hospital) run(t *testing.T, g http.Handler) *verify.Report {
	t.Helper()
	var undo upstream.Writer
	if h.write {
		undo = h.direct
	}
	r, err := verify.Run(t.Context(), verify.Options{
		Gateway: g, Base: "http://portico.test/fhir/ehr", Bearer: "good", EHR: h.direct, Undo: undo,
		As: attacker, Not: victim, PerType: 1, Hosts: []string{strings.TrimPrefix(h.url, "http://")}, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPorticoHolds(t *testing.T) {
	h := newHospital(t)
	g := h.honest(t)
	modes := []ehr.Mode{0, ehr.IgnorePatient | ehr.IgnoreID | ehr.WrongTotal | ehr.AbsoluteURLs, ehr.ForeignRows | ehr.ExtraIncludes}
	if os.Getenv("PORTICO_TEST_SERVICES") != "" && !racing.On { // the thorough run: every mode alone, and some together
		modes = append(modes, ehr.CaseSpoofedKeys|ehr.EscapedKeys|ehr.NoSearchMode|ehr.ElsewhereURLs, ehr.DuplicateKeys|ehr.IgnorePatient)
		for mode := ehr.Mode(1); mode < ehr.AllModes; mode <<= 1 {
			// DisguisedRead gives the own resources other ids: an EHR that lies about
			// whose a resource is cannot be seen through.
			if mode != ehr.DisguisedRead {
				modes = append(modes, mode)
			}
		}
	}
	if racing.On {
		modes = modes[:1]
	}
	for _, mode := range modes {
		t.Run(fmt.Sprintf("mode %b", mode), func(t *testing.T) {
			report := h.runMisbehaving(t, g, mode)
			if report.Failed() {
				var out bytes.Buffer
				_ = report.Text(&out)
				t.Errorf("\n%s", out.String())
				for _, f := range report.Families {
					for _, one := range f.Findings {
						t.Logf("%d: %s %s: %d, %s", f.Number, one.Method, one.Target, one.Status, one.What)
					}
				}
			}
			if report.Requests() < 500 {
				t.Errorf("only %d requests", report.Requests())
			}
		})
	}
}

// runMisbehaving lets the EHR misbehave for the gateway alone: what is learned
// of the patients must be true.
func (h *hospital) runMisbehaving(t *testing.T, g http.Handler, mode ehr.Mode) *verify.Report {
	t.Helper()
	var asked atomic.Int64
	// The first request makes sure that the own record is there.
	h.ehr.MisbehaveWhen(mode, func(r *http.Request) bool { return asked.Load() > 1 && r.Header.Get("X-Direct") == "" })
	defer h.ehr.Misbehave(0)
	return h.run(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		g.ServeHTTP(w, r)
	}))
}

// Each family finds something when there is no guard: otherwise holding would
// mean nothing.
func TestEveryFamilyCanFail(t *testing.T) {
	wholeRun(t)
	h := newHospital(t)
	h.write = true
	before := h.everything(t)
	withoutGuard := h.run(t, h.open(t))
	if after := h.everything(t); after != before {
		t.Error("something was left behind in the EHR")
	}
	blabbing := h.run(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/fhir+json")
		if strings.HasSuffix(r.URL.Path, "/Patient/"+attacker) && r.Header.Get("X-Forwarded-Host") == "" && r.Method == http.MethodGet && len(r.Header) == 1 {
			_, _ = io.WriteString(w, `{"resourceType":"Patient","id":"`+attacker+`"}`)
			return
		}
		answer, err := h.connector.Search(r.Context(), "Observation", "patient="+victim)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = answer.Body.Close() }()
		_, _ = io.Copy(w, answer.Body)
	}))
	failedWithoutGuard := 0
	for i, f := range blabbing.Families {
		if len(f.Findings) == 0 {
			t.Errorf("family %d (%s) sees nothing even when everything is given away", f.Number, f.Title)
		}
		if len(withoutGuard.Families[i].Findings) > 0 {
			failedWithoutGuard++
		} else {
			t.Logf("family %d (%s) is refused by this EHR itself", f.Number, f.Title)
		}
	}
	if failedWithoutGuard < 15 {
		t.Errorf("without a guard only %d families fail", failedWithoutGuard)
	}
	var text, page, data bytes.Buffer
	for _, err := range []error{withoutGuard.Text(&text), withoutGuard.HTML(&page), withoutGuard.JSON(&data)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(text.String(), "FAILED") || strings.Contains(text.String(), victim) || !strings.Contains(page.String(), "failed") || !strings.Contains(data.String(), victim) {
		t.Errorf("the reports do not say so:\n%s", text.String())
	}
}

func TestRunRefusesWhatProvesNothing(t *testing.T) {
	h := newHospital(t)
	nobody := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	for name, o := range map[string]verify.Options{
		"the same patient":             {Gateway: nobody, EHR: h.connector, As: attacker, Not: attacker, Now: time.Now},
		"no victim":                    {Gateway: nobody, EHR: h.connector, As: attacker, Now: time.Now},
		"a victim who is not there":    {Gateway: nobody, EHR: h.connector, As: attacker, Not: "nobody", Now: time.Now},
		"a token that opens nothing":   {Gateway: nobody, EHR: h.connector, As: attacker, Not: victim, Base: "http://portico.test/fhir/ehr", Now: time.Now},
		"nothing to attack":            {EHR: h.connector, As: attacker, Not: victim, Now: time.Now},
		"nowhere to learn":             {Gateway: nobody, As: attacker, Not: victim, Now: time.Now},
		"an attacker who is not there": {Gateway: nobody, EHR: h.connector, As: "nobody", Not: victim, Now: time.Now},
	} {
		if _, err := verify.Run(t.Context(), o); err == nil {
			t.Errorf("%s: a report was made", name)
		}
	}
}

// clock moves when it is told to.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time      { return time.Unix(0, c.at.Load()) }
func (c *clock) add(d time.Duration) { c.at.Add(int64(d)) }
func (c *clock) slow(h http.Handler, when func(*http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.add(5 * time.Millisecond)
		if when(r) {
			c.add(3 * time.Millisecond)
		}
		h.ServeHTTP(w, r)
	})
}

func TestWhatTakesLongerWhenItIsThereIsSeen(t *testing.T) {
	wholeRun(t)
	h := newHospital(t)
	g := h.honest(t)
	for name, tt := range map[string]struct {
		when func(*http.Request) bool
		want bool
	}{
		"all alike":           {func(*http.Request) bool { return false }, false},
		"every second slower": {func() func(*http.Request) bool { n := 0; return func(*http.Request) bool { n++; return n%2 == 0 } }(), false},
		"what is not there is quicker": {func(r *http.Request) bool {
			return strings.HasPrefix(r.URL.Path, "/fhir/ehr/Observation/") && !strings.Contains(r.URL.Path, "no-such-id")
		}, true},
	} {
		c := &clock{}
		report, err := verify.Run(t.Context(), verify.Options{
			Gateway: c.slow(g, tt.when), Base: "http://portico.test/fhir/ehr", Bearer: "good", EHR: h.connector,
			As: attacker, Not: victim, PerType: 1, Pairs: 20, Now: c.now,
		})
		if err != nil {
			t.Fatal(err)
		}
		times := report.Families[len(report.Families)-1]
		if got := len(times.Findings) > 0; got != tt.want || times.Requests < 200 {
			t.Errorf("%s: %d findings in %d requests", name, len(times.Findings), times.Requests)
		}
	}
}

// A patient who gives the clinic's telephone number as the own one is no leak
// when the clinic is seen.
func TestWhatTheDirectoryTellsEverybodyIsNoFinding(t *testing.T) {
	wholeRun(t)
	h := newHospital(t)
	const phone = `"telecom":[{"system":"phone","value":"555-0199-77"}]`
	for _, raw := range []string{
		`{"resourceType":"Organization","id":"shared-phone","name":"Clinic",` + phone + `}`,
		`{"resourceType":"Patient","id":"` + victim + `",` + phone + `,"identifier":[{"value":"only-the-victims"}],"address":[{"line":["1 Nowhere"]}],"name":[{"family":"Singular"}]}`,
	} {
		if err := h.ehr.Load([]byte(raw)); err != nil {
			t.Fatal(err)
		}
	}
	if report := h.run(t, h.honest(t)); report.Failed() {
		var out bytes.Buffer
		_ = report.Text(&out)
		t.Errorf("\n%s", out.String())
	}
}

// everyWrite is a policy that allows all that can be allowed.
func everyWrite() map[string][]guard.Interaction {
	out := map[string][]guard.Interaction{}
	for _, typ := range compartment.Types() {
		if _, ok := inbound.Writable(typ); ok {
			out[typ] = []guard.Interaction{guard.Create, guard.Update, guard.Patch, guard.Delete}
		}
	}
	return out
}

// everything is what the EHR holds of both patients, without what changes with
// each version.
func (h *hospital) everything(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for _, patient := range []string{attacker, victim} {
		for _, typ := range compartment.Types() {
			rule := compartment.Of(typ)
			if len(rule.Narrow) == 0 || typ == "Patient" {
				continue
			}
			answer, err := h.direct.Search(t.Context(), typ, rule.Narrow[0]+"=Patient/"+patient+"&_count=1000&_sort=_id")
			if err != nil {
				continue
			}
			raw, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			out.Write(regexp.MustCompile(`"(versionId|lastUpdated)":"[^"]*"`).ReplaceAll(raw, nil))
		}
	}
	return out.String()
}

func TestPorticoHoldsAgainstChangesWhateverTheEHRDoes(t *testing.T) {
	wholeRun(t)
	h := newHospital(t)
	h.write = true
	g := h.honest(t)
	before := h.everything(t)
	modes := []ehr.Mode{0, ehr.IgnorePatient | ehr.IgnoreID | ehr.AbsoluteURLs | ehr.ForeignRead}
	if os.Getenv("PORTICO_TEST_SERVICES") != "" {
		modes = append(modes, ehr.ForeignRows|ehr.ExtraIncludes, ehr.ForeignRead, ehr.CaseSpoofedKeys, ehr.EscapedKeys|ehr.ForeignRead)
	}
	for _, mode := range modes {
		report := h.runMisbehaving(t, g, mode)
		for _, f := range report.Families {
			for _, one := range f.Findings {
				t.Errorf("mode %b, %d: %s %s: %d, %s", mode, f.Number, one.Method, one.Target, one.Status, one.What)
			}
			if f.Requests < 20 && (f.Number == 15 || f.Number == 28 || f.Number == 29) {
				t.Errorf("family %d: %d requests", f.Number, f.Requests)
			}
		}
		if h.everything(t) != before {
			t.Fatalf("mode %b: something has changed", mode)
		}
	}
}
