package connect_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream/connect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func baseOf(t *testing.T, text string) fhir.Base {
	t.Helper()
	b, err := fhir.ParseBase(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// plain is a transport of the test's own.
func plain(t *testing.T) *http.Transport {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func ok() *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}
}

func TestCredentialsAndHeadersGoToTheBaseAndNowhereElse(t *testing.T) {
	var asked string
	next := roundTripper(func(r *http.Request) (*http.Response, error) {
		asked = fmt.Sprint(r.URL.Host, r.URL.Path, " ", r.Header.Get("Authorization"), " ", r.Header.Get("X-Api-Key"))
		return ok(), nil
	})
	var elsewhere []string
	for name, other := range map[string]http.RoundTripper{"refused": nil, "elsewhere": roundTripper(func(r *http.Request) (*http.Response, error) {
		elsewhere = append(elsewhere, fmt.Sprint(r.Header))
		return ok(), nil
	})} {
		tr, err := connect.New(connect.Options{
			Base: baseOf(t, "https://ehr.example.org/fhir"), Next: next, Credential: connect.Bearer("secret-token"), Elsewhere: other,
			Headers: []connect.Header{{Name: "X-Api-Key", Value: "secret-key"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range []string{
			"https://ehr.example.org/fhir2/Patient", "https://ehr.example.org/", "http://ehr.example.org/fhir/Patient",
			"https://ehr.example.org:8443/fhir/Patient", "https://evil.example.org/fhir/Patient", "https://user@ehr.example.org/fhir/Patient",
			"https://ehr.example.org/fhir/../admin", "https://ehr.example.org/fhir/%2e%2e/admin", "https://ehr.example.org/fhir/..%2fadmin",
		} {
			asked = ""
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer secret-token") // whoever put it there
			resp, err := tr.RoundTrip(req)
			if asked != "" {
				t.Errorf("%s: %s went through the source's own connections: %s", name, target, asked)
			}
			if (err == nil) != (other != nil) {
				t.Errorf("%s: %s: %v", name, target, err)
			}
			if err == nil {
				_ = resp.Body.Close()
			}
		}
		for _, h := range elsewhere {
			if strings.Contains(h, "secret") {
				t.Errorf("elsewhere was told %s", h)
			}
		}
		// A Host header for another server is as good as another URL.
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://ehr.example.org/fhir/Patient", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := tr.RoundTrip(req); err != nil || asked != "ehr.example.org/fhir/Patient Bearer secret-token secret-key" {
			t.Errorf("%v, %q", err, asked)
		} else {
			_ = resp.Body.Close()
		}
		if req.Header.Get("Authorization") != "" || req.Header.Get("X-Api-Key") != "" {
			t.Error("the caller's request was changed")
		}
		asked, req.Host = "", "evil.example.org"
		if resp, err := tr.RoundTrip(req); err == nil {
			_ = resp.Body.Close()
		}
		if asked != "" {
			t.Errorf("asked with a Host of another: %s", asked)
		}
	}
}

func TestHeadersThatDecideMoreThanTheyShouldAreRefused(t *testing.T) {
	for _, name := range []string{
		"Authorization", "authorization", "AUTHORIZATION", "Proxy-Authorization", "Host", "Content-Length", "content-type", "Content-Encoding",
		"Connection", "Keep-Alive", "Proxy-Connection", "TE", "te", "Trailer", "Transfer-Encoding", "Upgrade", "Cookie", "Accept", "Accept-Encoding",
		"Expect", "Range", "If-Match", "If-None-Exist", "If-None-Match", "Prefer", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host",
		"X-HTTP-Method-Override", "X-Http-Method", "X-Method-Override", "", " X-A", "X A", "X:A", "X-A\r\nHost", "Ключ", ":path",
	} {
		if connect.BadHeader(name, "v") == "" {
			t.Errorf("%q may be set", name)
		}
		_, err := connect.New(connect.Options{Base: baseOf(t, "https://a/b"), Next: plain(t), Headers: []connect.Header{{Name: name, Value: "v"}}})
		if err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	for _, value := range []string{"a\r\nHost: b", "a\nb", "a\x00b"} {
		if connect.BadHeader("X-Api-Key", value) == "" {
			t.Errorf("%q may be sent", value)
		}
	}
	for _, name := range []string{"X-Api-Key", "Epic-Client-ID", "Ocp-Apim-Subscription-Key", "x-tenant"} {
		if why := connect.BadHeader(name, "a b=c"); why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	if text := fmt.Sprintf("%v %+v %#v %s", connect.Basic("u", "p"), connect.Bearer("t"), connect.Bearer("t"), connect.Bearer("t")); text != "[hidden] [hidden] [hidden] [hidden]" {
		t.Error(text)
	}
}

// changing is a credential with another value after each refusal.
type changing struct {
	n      int
	refuse int // how many times another may be had
	told   []string
}

func (c *changing) Authorization(context.Context) (string, error) {
	return fmt.Sprint("Bearer ", c.n), nil
}

func (c *changing) Refused(value string) bool {
	c.told = append(c.told, value)
	c.n++
	c.refuse--
	return c.refuse >= 0
}

func TestA401IsAnsweredOnceWithAnotherCredentialAndNeverForAWrite(t *testing.T) {
	for name, tt := range map[string]struct {
		method  string
		good    string
		refuse  int
		want    int
		queries int
	}{
		"another is good":    {http.MethodGet, "Bearer 1", 1, 200, 2},
		"none is good":       {http.MethodGet, "Bearer 9", 5, 401, 2},
		"there is no other":  {http.MethodGet, "Bearer 1", 0, 401, 1},
		"a write":            {http.MethodPost, "Bearer 1", 1, 401, 1},
		"a deletion":         {http.MethodDelete, "Bearer 1", 1, 401, 1},
		"the first was good": {http.MethodGet, "Bearer 0", 1, 200, 1},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				if r.Header.Get("Authorization") != tt.good {
					w.WriteHeader(http.StatusUnauthorized)
				}
			}))
			t.Cleanup(up.Close)
			tr, err := connect.New(connect.Options{Base: baseOf(t, up.URL), Next: plain(t), Credential: &changing{refuse: tt.refuse}})
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), tt.method, up.URL+"/Patient/a", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != tt.want || asked != tt.queries {
				t.Errorf("%d, asked %d times", resp.StatusCode, asked)
			}
		})
	}
}

// Headers are read whole before anything is decided: an EHR must not fill the
// memory of all the others with them.
func TestHeadersWithoutEndAreRefused(t *testing.T) {
	ehr := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `W/"`+strings.Repeat("x", 1<<20)+`"`)
	}))
	defer ehr.Close()
	way := connect.NewTransport(time.Minute, nil)
	defer way.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ehr.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := way.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
		t.Errorf("%d bytes of headers were read", len(resp.Header.Get("ETag")))
	}
}
