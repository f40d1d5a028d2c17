package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/demo/ehr"
)

// at writes to the EHR itself, past the gateway.
func (h *house) at(method, path, body string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.origin+"/fhir/"+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/fhir+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		raw, _ := io.ReadAll(resp.Body)
		h.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, raw)
	}
}

func observation(id, owner, text string) string {
	return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":"final","code":{"text":%q},"subject":{"reference":"Patient/%s"}}`, id, text, owner)
}

// pasts is a house in which resources have changed hands, and gone.
func pasts(t testing.TB) *house {
	h := open(t, 0, twoRecords()...)
	for _, owner := range []struct{ id, was, is string }{{"moved-away", "alice", bobID}, {"moved-here", bobID, "alice"}, {"hers", "alice", "alice"}} {
		for i, o := range []string{owner.was, owner.is} {
			text := fmt.Sprintf("hers %d", i+1)
			if o != "alice" {
				text = secret
			}
			h.at("PUT", "Observation/"+owner.id, observation(owner.id, o, text))
		}
	}
	h.at("PUT", "Observation/gone", observation("gone", "alice", "hers 1"))
	h.at("DELETE", "Observation/gone", "")
	h.at("PUT", "Observation/gone", observation("gone", "alice", "hers 3"))
	h.at("DELETE", "Observation/gone", "")
	h.at("PUT", "Observation/restored", observation("restored", "alice", "hers 1"))
	h.at("DELETE", "Observation/restored", "")
	h.at("PUT", "Observation/restored", observation("restored", "alice", "hers 3"))
	h.at("PUT", "Observation/his-gone", observation("his-gone", bobID, secret))
	h.at("DELETE", "Observation/his-gone", "")
	h.at("PUT", "Device/pump", `{"resourceType":"Device","id":"pump","serialNumber":"hers 1"}`)
	h.at("PUT", "Device/pump", `{"resourceType":"Device","id":"pump","patient":{"reference":"Patient/`+bobID+`"},"serialNumber":"`+secret+`"}`)
	return h
}

func TestVersionsAreJudgedEachForItself(t *testing.T) {
	h := pasts(t)
	for path, want := range map[string]int{
		// somebody else's, missing, never there, oddly written: all the same
		"/Observation/observation-" + bobID + "/_history/1": 404,
		"/Observation/moved-away/_history/2":                404,
		"/Observation/moved-here/_history/1":                404,
		"/Observation/his-gone/_history/1":                  404,
		"/Observation/his-gone/_history/2":                  404,
		"/Observation/gone/_history/2":                      404, // a deletion has no content
		"/Observation/nothing/_history/1":                   404,
		"/Observation/hers/_history/7":                      404,
		"/Observation/hers/_history/..":                     404,
		"/Observation/hers/_history/%2e%2e%2fmoved-away":    404,
		"/Observation/hers%2f_history/1":                    404,
		"/Observation/hers/_history/1%2f..%2f2":             404,
		"/Observation/hers/%5fhistory/2":                    200,
		"/Patient/" + bobID + "/_history/1":                 404,
		"/Patient/" + bobID + "/_history":                   404,
		"/Observation/observation-" + bobID + "/_history":   404,
		"/Observation/his-gone/_history":                    404,
		"/Observation/nothing/_history":                     404,
		"/Provenance/prov-" + mark + "/_history/1":          404,
		"/Provenance/prov-both-" + mark + "/_history":       404,
		"/Binary/bin-" + mark + "/_history/1":               404,
		"/Device/pump/_history/2":                           404,
		"/Device/pump/_history/1":                           404, // nothing leads there
		"/ValueSet/vs-" + mark + "/_history":                403,
		"/Observation/_history":                             400,
		"/_history":                                         405,
		"/Observation/hers/_history/1/x":                    400,
		"/Patient/alice/Observation/hers/_history":          404,
		"/Observation/hers/_history?_at=2024":               400,
		"/Observation/hers/_history?_since=2024":            400,
		"/Observation/hers/_history?patient=" + bobID:       400,
		"/Observation/hers/_history?_count=x":               400,
		"/Observation/hers/_history/1?_since=2024":          400,
		"/Observation/hers/_history?_page=AAAA":             404,
		"/Observation/moved-away/_history/1":                404, // it was a mistake
		"/Observation/moved-away/_history":                  404,
		"/Observation/gone/_history/1":                      404, // whose it is nobody can be asked
		"/Observation/gone/_history/3":                      404,
		"/Observation/gone/_history":                        404,
		"/Observation/restored/_history/1":                  200,
		"/Observation/restored/_history/3":                  200,
		"/Observation/moved-here/_history/2":                200,
		"/Observation/hers/_history/1":                      200,
		"/Observation/hers/_history/2":                      200,
		"/Observation/hers/_history/2?_elements=code":       200,
		"/Patient/alice/_history/1":                         200,
		"/Patient/alice/_history":                           200,
		"/Practitioner/dr/_history/1":                       200,
		"/Provenance/prov-alice/_history/1":                 200,
		"/Binary/bin-alice/_history/1":                      200,
		"/Appointment/group-visit/_history/1":               200,
		"/Appointment/group-visit/_history":                 200,
	} {
		for _, mode := range []ehr.Mode{0, ehr.AbsoluteURLs, ehr.ElsewhereURLs} {
			h.ehr.Misbehave(mode)
			r := h.get(path, alice)
			if r.status != want || betrays(h, mode, r) != "" {
				t.Errorf("mode %b: %s: %d, want %d, %s: %s", mode, path, r.status, want, betrays(h, mode, r), r.body)
			}
			if want == 404 && !strings.Contains(path, "_page") && r.body != h.get("/Observation/nothing", alice).body {
				t.Errorf("%s does not look missing: %s", path, r.body)
			}
			if head := h.send("HEAD", path, alice, ""); head.status != want || head.body != "" {
				t.Errorf("HEAD %s: %d", path, head.status)
			}
		}
	}
	for _, bearer := range []string{"alice:patient/Condition.rs", "alice:patient/Observation.s"} {
		if r := h.get("/Observation/hers/_history/1", bearer); r.status != 403 {
			t.Errorf("%s: %d", bearer, r.status)
		}
	}
	for _, method := range []string{"PUT", "DELETE", "POST"} {
		if r := h.send(method, "/Observation/hers/_history/1", alice, "x=y"); r.status != 405 {
			t.Errorf("%s: %d", method, r.status)
		}
	}
}

type historyOf struct {
	Type  string
	Total *int
	Link  []struct{ Relation, URL string }
	Entry []struct {
		FullURL  string
		Resource json.RawMessage
		Request  struct{ Method, URL string }
		Response struct{ Status, Etag, LastModified string }
	}
}

// history follows the pages and gives "method version" of each entry.
func (h *house) history(path, bearer string) (out []string, pages int) {
	h.t.Helper()
	for path != "" {
		r := h.get(path, bearer)
		var b historyOf
		if err := json.Unmarshal([]byte(r.body), &b); err != nil || r.status != 200 || b.Type != "history" {
			h.t.Fatalf("%s: %d %s", path, r.status, r.body)
		}
		if what := betrays(h, 0, r); what != "" {
			h.t.Errorf("%s gives away %s: %s", path, what, r.body)
		}
		if pages++; len(b.Entry) == 0 && len(b.Link) > 0 {
			h.t.Errorf("%s: an empty page with links: %s", path, r.body)
		}
		for _, e := range b.Entry {
			out = append(out, e.Request.Method+" "+strings.Trim(e.Response.Etag, `W/"`))
			if (e.Request.Method == "DELETE") == (len(e.Resource) > 0) || !strings.HasPrefix(e.FullURL, h.base+"/Observation/") {
				h.t.Errorf("%s: %s", path, r.body)
			}
		}
		path = ""
		for _, l := range b.Link {
			if l.Relation == "next" {
				path = l.URL
			}
		}
	}
	return out, pages
}

func TestAHistoryHoldsTheVersionsThatAreThePatients(t *testing.T) {
	h := pasts(t)
	for path, want := range map[string][]string{
		"/Observation/hers/_history":       {"PUT 2", "POST 1"},
		"/Observation/moved-here/_history": {"PUT 2"},
		"/Observation/restored/_history":   {"PUT 3", "DELETE 2", "POST 1"},
	} {
		for _, count := range []string{"", "?_count=1", "?_count=2"} {
			got, pages := h.history(path+count, alice)
			if !slices.Equal(got, want) {
				t.Errorf("%s%s: %v, want %v", path, count, got, want)
			}
			if count == "?_count=1" && pages != len(want) { // no page for what is withheld
				t.Errorf("%s%s: %d pages for %d versions", path, count, pages, len(want))
			}
		}
	}
	if got, _ := h.history("/Observation/hers/_history?_since=2999-01-01T00:00:00Z", alice); len(got) != 0 {
		t.Errorf("since the far future: %v", got)
	}
	if got, _ := h.history("/Observation/restored/_history?_since=2020-01-01T00:00:00Z&_count=1", alice); len(got) != 3 {
		t.Errorf("since long ago: %v", got)
	}
	if r := h.get("/Observation/moved-away/_history", bobID+":patient/*.rs"); r.status != 200 || strings.Contains(r.body, "hers") || !strings.Contains(r.body, secret) {
		t.Errorf("for the other one: %d %s", r.status, r.body)
	}
	next := h.get("/Observation/restored/_history?_count=1&_pretty=true", alice)
	var b historyOf
	if err := json.Unmarshal([]byte(next.body), &b); err != nil || !strings.Contains(next.body, "\n      \"fullUrl\": ") {
		t.Fatalf("%v %s", err, next.body)
	}
	for _, l := range b.Link {
		if l.Relation != "next" {
			continue
		}
		for _, bearer := range []string{bobID + ":patient/*.rs", "alice@another:patient/*.rs"} {
			if r := h.get(l.URL, bearer); r.status != 404 {
				t.Errorf("the page of somebody else: %d", r.status)
			}
		}
		if r := h.get(strings.Replace(l.URL, "/restored/", "/hers/", 1), alice); r.status != 404 {
			t.Errorf("the page of another resource: %d", r.status)
		}
		if r := h.get(l.URL, alice); r.status != 200 || !strings.Contains(r.body, "\n") {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
}

// What an old version says must not open what the resource of today does not.
func TestAnOldVersionProvesNothing(t *testing.T) {
	h := open(t, 0, `{"resourceType":"Patient","id":"alice"}`, `{"resourceType":"Device","id":"meter"}`)
	with := strings.Replace(observation("o", "alice", "x"), `"subject"`, `"device":{"reference":"Device/meter"},"subject"`, 1)
	h.at("PUT", "Observation/o", with)
	h.at("PUT", "Observation/o", observation("o", "alice", "x"))
	for _, path := range []string{"/Observation/o/_history/1", "/Observation/o/_history"} {
		if r := h.get(path, alice); r.status != 200 || !strings.Contains(r.body, "meter") {
			t.Fatalf("%d %s", r.status, r.body)
		}
		if r := h.get("/Device/meter", alice); r.status != 404 {
			t.Errorf("after %s: %d %s", path, r.status, r.body)
		}
	}
}

func TestVersionsWithoutAnUpstreamThatHasThemAreMissing(t *testing.T) {
	for name, change := range map[string]func(*gateway.Options){
		"no versions at all": func(o *gateway.Options) { o.Sources[0].Versions = nil },
		"not stated": func(o *gateway.Options) {
			o.Sources[0].Upstream = &scripted{known: upstream.Capabilities{Types: map[string]upstream.TypeCapability{"Observation": {Interactions: map[string]bool{"read": true}}}}}
		},
	} {
		h := pasts(t)
		other := openOver(t, nil, somewhere(t), 0, func(o *gateway.Options) {
			o.Sources[0].Upstream, o.Sources[0].Versions = h.connector, h.connector
			change(o)
		})
		for _, path := range []string{"/Observation/hers/_history", "/Observation/hers/_history/1", "/Observation/nothing/_history/1"} {
			if r := other.get(path, alice); r.status != 404 || !strings.Contains(r.body, "Not found.") {
				t.Errorf("%s: %s: %d %s", name, path, r.status, r.body)
			}
		}
	}
}

// A history that lies: other ids, foreign content, deletions of something else.
func TestAHistoryIsNotTrusted(t *testing.T) {
	entry := func(resource, change string) string {
		return `{` + resource + `"request":{` + change + `},"response":{"etag":"W/\"9\""}}`
	}
	of := func(raw string) string { return `"resource":` + raw + `,` }
	for name, tt := range map[string]struct {
		entries []string
		want    []string
	}{
		"another's version":              {[]string{entry(of(observation("hers", bobID, secret)), `"method":"PUT"`)}, nil},
		"another id":                     {[]string{entry(of(observation(bobID, "alice", secret)), `"method":"PUT"`)}, nil},
		"a deletion alone":               {[]string{entry("", `"method":"DELETE","url":"Observation/hers"`)}, nil},
		"a deletion of something else":   {[]string{entry("", `"method":"DELETE","url":"Observation/`+mark+`"`), entry(of(observation("hers", "alice", "x")), `"method":"PUT"`)}, []string{"PUT "}},
		"a deletion of nothing":          {[]string{entry("", `"method":"DELETE"`), entry(of(observation("hers", "alice", "x")), `"method":"PUT"`)}, []string{"PUT "}},
		"a deletion beside another's":    {[]string{entry("", `"method":"DELETE","url":"Observation/hers"`), entry(of(observation("hers", bobID, secret)), `"method":"PUT"`)}, nil},
		"a deletion on another server":   {[]string{entry("", `"method":"DELETE","url":"https://elsewhere.invalid/fhir/Observation/hers"`), entry(of(observation("hers", "alice", "x")), `"method":"PUT"`)}, []string{"PUT "}},
		"a deletion with words in it":    {[]string{entry(of(observation("hers", "alice", "x")), `"method":"POST"`), `{"request":{"method":"DELETE","url":"Observation/hers"},"response":{"etag":"` + secret + ` ` + mark + `","lastModified":"` + secret + `","status":"` + secret + `","outcome":{"x":"` + secret + `"}}}`}, []string{"POST ", "DELETE "}},
		"a version that is no resource":  {[]string{entry(of(`{"x":"`+secret+`"}`), `"method":"PUT"`)}, nil},
		"methods of the EHR's invention": {[]string{entry(of(observation("hers", "alice", "x")), `"method":"`+secret+`","url":"`+secret+`"`)}, []string{"PUT "}},
	} {
		t.Run(name, func(t *testing.T) {
			body := `{"resourceType":"Bundle","type":"history","entry":[` + strings.Join(tt.entries, ",") + `]}`
			up := &past{body: body}
			up.read = func(_, id string) string { return observation(id, "alice", "today") }
			h := openOver(t, up, somewhere(t), 0, func(o *gateway.Options) { o.Sources[0].Versions = up })
			h.origin = "http://ehr.example.org"
			r := h.get("/Observation/hers/_history", alice)
			if strings.Contains(r.everything(), secret) || strings.Contains(r.everything(), mark) || strings.Contains(r.body, "elsewhere") {
				t.Fatalf("%s", r.body)
			}
			if tt.want == nil {
				if r.status != 404 {
					t.Errorf("%d %s", r.status, r.body)
				}
				return
			}
			if got, _ := h.history("/Observation/hers/_history", alice); !slices.Equal(got, tt.want) {
				t.Errorf("%v, want %v: %s", got, tt.want, r.body)
			}
		})
	}
}

// past is an upstream that has one history for everything.
type past struct {
	scripted
	body string
}

func (p *past) VRead(context.Context, string, string, string) (*upstream.Answer, error) {
	return answerOf(p.body)
}

func (p *past) History(context.Context, string, string, string) (*upstream.Answer, error) {
	return answerOf(p.body)
}
