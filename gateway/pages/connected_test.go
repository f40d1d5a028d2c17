package pages_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
)

// Who looks at what an app has must see what it may do, and not only what it may read.
func TestTheConnectedAppsSayWhatMayBeChanged(t *testing.T) {
	p := newPages(t)
	for name, tt := range map[string]struct {
		scopes  []authz.ScopeView
		has, no string
	}{
		"reads":  {[]authz.ScopeView{{Value: "patient/Observation.rs", Type: "Observation", Read: true}}, "<dt>What it may see</dt><dd>Lab results and vital signs</dd>", "add or change"},
		"both":   {[]authz.ScopeView{{Value: "patient/*.rs", Type: "*", Read: true}, {Value: "patient/Goal.cud", Type: "Goal", Write: true}}, "<dt>What it may see</dt><dd>The whole record</dd></div>\n<div><dt>What it may add or change</dt><dd>Goals</dd>", "may look"},
		"writes": {[]authz.ScopeView{{Value: "patient/Goal.c", Type: "Goal", Write: true}}, "<dt>What it may see</dt><dd>Nothing of it</dd></div>\n<div><dt>What it may add or change</dt><dd>Goals</dd>", "Only who you are"},
	} {
		rec := httptest.NewRecorder()
		v := authz.ConnectedView{Source: "North", ID: "north", Apps: []authz.ConnectedApp{{Grant: "g", App: "App", Scopes: tt.scopes}}}
		if err := p.Connected(rec, httptest.NewRequest(http.MethodGet, "/", nil), v); err != nil {
			t.Fatal(err)
		}
		if body := rec.Body.String(); !strings.Contains(body, tt.has) || strings.Contains(body, tt.no) {
			t.Errorf("%s:\n%s", name, body)
		}
	}
}

// Of an access that ends today the day says nothing.
func TestTheConnectedAppsSayWhenAccessEnds(t *testing.T) {
	p := newPages(t)
	for left, want := range map[time.Duration]string{
		50 * time.Minute: "In about 50 minutes", 5 * time.Hour: "In about 5 hours", 72 * time.Hour: now.Add(72 * time.Hour).Format("2 January 2006"),
	} {
		rec := httptest.NewRecorder()
		v := authz.ConnectedView{Source: "North", ID: "north", Apps: []authz.ConnectedApp{{Grant: "g", App: "App", Until: now.Add(left)}}}
		if err := p.Connected(rec, httptest.NewRequest(http.MethodGet, "/", nil), v); err != nil {
			t.Fatal(err)
		}
		if body := rec.Body.String(); !strings.Contains(body, "<dt>Access ends</dt><dd>"+want+"</dd>") {
			t.Errorf("%s left:\n%s", left, body)
		}
	}
}
