package reqctx_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
)

func TestScrubTakesOutWhatCouldBePatientData(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"upstream URL", `Get "https://u:p@ehr.example:8443/fhir/Patient/123?name=Parker": EOF`, `Get "…": EOF`},
		{"bare URL", `cannot fetch https://u:p@ehr.example:8443/fhir/Patient/123?name=Parker now`, `cannot fetch https://ehr.example:8443/… now`},
		{"reference", `withheld Observation/abc, subject Patient/p-1`, `withheld Observation/{id}, subject Patient/{id}`},
		{"quoted input", `strconv.ParseInt: parsing "Parker": invalid syntax`, `strconv.ParseInt: parsing "…": invalid syntax`},
		{"open quote", `unexpected "Parker, Peter`, `unexpected "…"`},
		{"single quotes", `near 'Parker'`, `near "…"`},
		{"backquotes", "near `Parker`", `near "…"`},
		{"date of birth", `bad date 1980-05-02 in row`, `bad date {date} in row`},
		{"instant", `at 1980-05-02T10:00:00Z`, `at {date}`},
		{"record number", `mrn 83746 unknown`, `mrn {token} unknown`},
		{"uuid", `no 6ba7b810-9dad-11d1-80b4-00c04fd430c8 here`, `no {token} here`},
		{"email", `user peter@example.org locked`, `user {email} locked`},
		{"bearer", `header Bearer abc.def-ghi rejected`, `header {auth} rejected`},
		{"value", `query patient=Peter refused`, `query patient=… refused`},
		{"PostgreSQL's key", `ERROR: duplicate key value violates unique constraint "links_pkey" (SQLSTATE 23505) DETAIL: Key (source, patient)=(north, maria delgado) already exists.`,
			`ERROR: duplicate key value violates unique constraint "…" (SQLSTATE {token}) DETAIL: Key (source, patient)=(…) already exists.`},
		{"PostgreSQL's row", `DETAIL: Failing row contains (north, maria, null).`, `DETAIL: Failing row contains(…).`},
		{"Redis' key", `NOPERM No permissions to access a key 'portico:e:maria'`, `NOPERM No permissions to access a key "…"`},
		{"new lines cannot forge log lines", "a\nlevel INFO\x00b", `a level INFO b`},
		{"address stays, since it is the operator's", `dial tcp 10.1.2.3:5432: connect: connection refused`, `dial tcp 10.1.2.3:5432: connect: connection refused`},
		{"plain text stays", `context deadline exceeded`, `context deadline exceeded`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := reqctx.Scrub(c.in); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func FuzzScrub(f *testing.F) {
	f.Add("Get \"https://ehr/fhir/Patient/1\": x")
	f.Add("\xff\x00'`\"=")
	f.Fuzz(func(t *testing.T, in string) {
		out := reqctx.Scrub(in)
		if !utf8.ValidString(out) || strings.ContainsAny(out, "\n\r\x00") || len(out) > 520 {
			t.Errorf("not one short line: %q", out)
		}
	})
}

func TestRouteHoldsNoIds(t *testing.T) {
	r := reqctx.Router{IsType: func(s string) bool { return s == "Patient" || s == "Observation" }}
	for in, want := range map[string]string{
		"/fhir/demo/Observation/secret":              "/fhir/{source}/Observation/{id}",
		"/fhir/demo/Observation/secret/_history/7":   "/fhir/{source}/Observation/{id}/_history/{id}",
		"/fhir/demo/Patient/secret/Observation":      "/fhir/{source}/Patient/{id}/Observation",
		"/fhir/demo/Patient/secret/$everything":      "/fhir/{source}/Patient/{id}/$everything",
		"/fhir/demo/Parker":                          "/fhir/{source}/{id}",
		"/fhir/demo/metadata":                        "/fhir/{source}/metadata",
		"/fhir/demo/":                                "/fhir/{source}",
		"/fhir/demo/.well-known/smart-configuration": "/fhir/{source}/.well-known/smart-configuration",
		"/fhir":                             "/fhir",
		"/Peter/Parker":                     "/{other}",
		"/":                                 "/",
		"":                                  "/{other}",
		"/oauth/authorize":                  "/oauth/authorize",
		"/oauth/Parker":                     "/oauth/{other}",
		"/oauth/register/Parker":            "/oauth/register/{client}",
		"/oauth/register/Parker/x":          "/oauth/{other}",
		"/oauth/developer/refusals":         "/oauth/developer/refusals",
		"/static/portico.css":               "/static/{file}",
		"/fhir" + strings.Repeat("/a", 100): "/{other}",
	} {
		if got := r.Route(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestEventIsOneWideLine(t *testing.T) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	e := reqctx.New("id-1", start)
	ctx := reqctx.With(context.Background(), e)
	reqctx.From(ctx).SetClient("app")
	reqctx.From(ctx).SetSource("demo")
	reqctx.From(ctx).SetInteraction("read")
	reqctx.From(ctx).SetOutcome("refused")
	reqctx.From(ctx).Fail(fault.Wrap(errors.New("first"), fault.Forbidden, "No."))
	reqctx.From(ctx).Fail(errors.New("second"))
	e.SetMethod("GET")
	e.SetRoute("/fhir/{source}/Patient/{id}")
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	e.Log(ctx, log, 403, 17, start.Add(time.Second))
	want := `level=INFO msg=request request=id-1 method=GET route=/fhir/{source}/Patient/{id} status=403 bytes=17 duration=1s` +
		` client=app source=demo interaction=read outcome=refused kind=forbidden error="No.: first"` + "\n"
	if out.String() != want {
		t.Errorf("got  %swant %s", out.String(), want)
	}
}

func TestNoEventIsNoTrouble(t *testing.T) {
	e := reqctx.From(context.Background())
	e.SetClient("x")
	e.Fail(errors.New("x"))
	e.Log(context.Background(), slog.New(slog.DiscardHandler), 200, 0, time.Time{})
	if e.ID() != "" || reqctx.ID(context.Background()) != "" {
		t.Error("an id outside a request")
	}
}

func TestNewIDNeedsRandomness(t *testing.T) {
	if _, err := reqctx.NewID(strings.NewReader("short")); err == nil {
		t.Error("an id from too little randomness")
	}
	a, err := reqctx.NewID(strings.NewReader(strings.Repeat("\x00", 16)))
	if err != nil || a != strings.Repeat("0", 32) {
		t.Errorf("%q, %v", a, err)
	}
}
