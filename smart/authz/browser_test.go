package authz_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
)

// browser keeps cookies and follows redirects within the server only.
type browser struct {
	h *harness
	c *http.Client
}

func (h *harness) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &browser{h: h, c: &http.Client{Jar: jar, Transport: h.http.Client().Transport, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), h.base+"/") {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

// result is where a browser ended.
type result struct {
	status   int
	page     string     // "" when it left for the app
	location string     // where it left to
	query    url.Values // of location
	view     struct {
		Action, CSRF, App, Title, Detail, Person, ReturnTo string
		SignOut                                            string
		Leave                                              *authz.LeaveView
		Patients                                           []authz.Patient
		Patient                                            authz.Patient
		Scopes                                             []authz.ScopeView
		Until                                              time.Time
		Ends                                               []authz.EndView
		NothingChosen                                      bool
	}
	header http.Header
}

func (b *browser) do(req *http.Request) result {
	b.h.t.Helper()
	res, err := b.c.Do(req)
	if err != nil {
		b.h.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	out := result{status: res.StatusCode, page: res.Header.Get("X-Page"), location: res.Header.Get("Location"), header: res.Header}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.h.t.Fatal(err)
	}
	if out.page != "" {
		if err := json.Unmarshal(body, &out.view); err != nil {
			b.h.t.Fatalf("page %s: %v", out.page, err)
		}
	}
	if out.location != "" {
		_, raw, _ := strings.Cut(out.location, "?")
		if out.query, err = url.ParseQuery(raw); err != nil {
			b.h.t.Fatalf("location %q: %v", out.location, err)
		}
	}
	return out
}

func (b *browser) get(target string) result {
	b.h.t.Helper()
	return b.do(b.h.request(http.MethodGet, target, nil))
}

func (b *browser) post(target string, form url.Values) result {
	b.h.t.Helper()
	return b.do(b.h.request(http.MethodPost, target, form))
}

func (b *browser) authorize(q url.Values) result {
	b.h.t.Helper()
	return b.get("/oauth/authorize?" + q.Encode())
}

func (h *harness) request(method, target string, form url.Values) *http.Request {
	h.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = h.base + target
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(h.t.Context(), method, target, body)
	if err != nil {
		h.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return req
}

// yes is the answer to a consent page with everything ticked.
func (r result) yes() url.Values {
	form := url.Values{"csrf": {r.view.CSRF}, "decision": {"allow"}}
	for _, s := range r.view.Scopes {
		form.Add("scope", s.Value)
		for _, p := range s.Parts {
			form.Add("part", p.Value)
		}
	}
	return form
}

func (r result) want(t *testing.T, page string) result {
	t.Helper()
	if r.page != page {
		t.Fatalf("got page %q (status %d, %q, location %q), want %q", r.page, r.status, r.view.Title, r.location, page)
	}
	return r
}

// wantError checks an error answer to the app.
func (r result) wantError(t *testing.T, code string) {
	t.Helper()
	if !strings.HasPrefix(r.location, callback+"&") || r.status != http.StatusSeeOther {
		t.Fatalf("status %d, location %q, page %q (%s): want an answer to the app", r.status, r.location, r.page, r.view.Title)
	}
	if got := r.query.Get("error"); got != code {
		t.Errorf("error = %q (%s), want %q", got, r.query.Get("error_description"), code)
	}
	if r.query.Get("error_description") == "" || r.query.Get("iss") == "" || r.query.Has("code") {
		t.Errorf("error answer %v: description and iss are needed, code is not", r.query)
	}
}
