package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/uscore"
)

// reader is somebody's app, reading their record of the demo.
type reader struct {
	t             *testing.T
	base, patient string
	bearer        string
}

func (d *running) reader(t *testing.T, login string) *reader {
	t.Helper()
	app := newApp(t, d, "launch/patient", "patient/*.rs")
	token := app.exchange(t, newBrowser(t, app.config.RedirectURL).do(http.MethodGet, app.authorizeURL(), nil).signIn(login).allow().arrived())
	patient, _ := token.Extra("patient").(string)
	return &reader{t, d.url(0) + "/fhir/demo", patient, token.AccessToken}
}

// search gives the resources of all pages by type.
func (r *reader) search(typ string, query url.Values, post bool) map[string][]*fhir.Resource {
	r.t.Helper()
	found := map[string][]*fhir.Resource{}
	target, form := r.base+"/"+typ+"?"+query.Encode(), ""
	if post {
		target, form = r.base+"/"+typ+"/_search", query.Encode()
	}
	for target != "" {
		reader := fhir.NewBundleReader(strings.NewReader(r.get(target, form)), 1<<24)
		for {
			e, err := reader.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || e.Resource == nil {
				r.t.Fatalf("%s?%s: %v", typ, query.Encode(), err)
			}
			found[e.Resource.Type()] = append(found[e.Resource.Type()], e.Resource)
		}
		target, form = reader.NextLink(), ""
	}
	return found
}

func (r *reader) get(target, form string) string {
	r.t.Helper()
	method := http.MethodGet
	if form != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(context.Background(), method, target, strings.NewReader(form))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.bearer)
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		r.t.Fatalf("%s %s %s: %d %s", method, target, form, resp.StatusCode, raw)
	}
	return string(raw)
}

// valueOf takes a search value from what a resource holds, as the certification
// kit does: system|code, a whole date, a reference, a word of a name.
func valueOf(d search.Definition, r *fhir.Resource) string {
	for v := range d.Values(r) {
		switch d.Kind {
		case search.Token:
			for c := range v.Get("coding").Items() {
				if c.Get("code").Exists() {
					return c.Get("system").Text() + "|" + c.Get("code").Text()
				}
			}
			switch {
			case v.Get("value").Exists():
				return v.Get("system").Text() + "|" + v.Get("value").Text()
			case v.Get("code").Exists():
				return v.Get("system").Text() + "|" + v.Get("code").Text()
			case v.Text() != "":
				return v.Text()
			}
		case search.Date:
			if start := v.Get("start").Text(); start != "" {
				return "ge" + start
			}
			if v.Text() != "" {
				return v.Text()
			}
		case search.Reference:
			if ref := v.Get("reference").Text(); ref != "" {
				return ref
			}
			if v.Text() != "" {
				return v.Text()
			}
		case search.String:
			for _, part := range []string{"family", "city", "text", "description", "line"} {
				if s := v.Get(part).Text(); s != "" {
					return s
				}
			}
			if v.Text() != "" {
				return v.Text()
			}
		default:
			return v.Text()
		}
	}
	return ""
}

func ids(resources []*fhir.Resource) []string {
	var out []string
	for _, r := range resources {
		out = append(out, r.ID())
	}
	slices.Sort(out)
	return out
}

// Every search that US Core 6.1.0 says a server SHALL or SHOULD answer finds
// what it was taken from, by GET and by POST, with a token for one patient.
func TestEverySearchOfUSCoreFindsWhatItsValuesWereTakenFrom(t *testing.T) {
	d := startDemo(t)
	people := []*reader{d.reader(t, "alice"), d.reader(t, "walter"), d.reader(t, "sofia")}
	for _, typ := range uscore.Types() {
		for _, s := range uscore.Searches(typ) {
			if typ == "Patient" && slices.Contains(s.Params, "death-date") {
				continue // who has died does not sign in
			}
			t.Run(typ+"?"+strings.Join(s.Params, "&"), func(t *testing.T) {
				tried := false
				for _, p := range people {
					p.t = t
					tried = p.tries(typ, s.Params) || tried
				}
				if !tried {
					t.Error("nobody's record has values to search for")
				}
			})
		}
	}
}

// tries searches with values of one of the person's own resources; false means
// that none has them all.
func (r *reader) tries(typ string, params []string) bool {
	r.t.Helper()
	candidates := r.search(typ, url.Values{"_count": {"100"}}, false)[typ]
	for _, c := range candidates {
		query := url.Values{}
		for _, name := range params {
			d, known := search.Lookup(typ, name)
			if !known {
				r.t.Fatalf("%s is no search parameter of %s", name, typ)
			}
			value := valueOf(d, c)
			if name == "patient" {
				value = r.patient
			}
			if value != "" {
				query.Set(name, value)
			}
		}
		if len(query) != len(params) {
			continue
		}
		found := ids(r.search(typ, query, false)[typ])
		if !slices.Contains(found, c.ID()) {
			r.t.Errorf("%s?%s does not find what it was taken from", typ, query.Encode())
		}
		if posted := ids(r.search(typ, query, true)[typ]); !slices.Equal(posted, found) {
			r.t.Errorf("%s: POST finds %d, GET %d", query.Encode(), len(posted), len(found))
		}
		if query.Has("patient") {
			query.Set("patient", "Patient/"+r.patient)
			if prefixed := ids(r.search(typ, query, false)[typ]); !slices.Equal(prefixed, found) {
				r.t.Errorf("%s finds %d, without Patient/ %d", query.Encode(), len(prefixed), len(found))
			}
		}
		return true
	}
	return false
}

// Includes and reverse includes of US Core bring what they name, Provenance for
// every kind of patient data.
func TestEveryIncludeOfUSCoreBringsSomething(t *testing.T) {
	d := startDemo(t)
	people := []*reader{d.reader(t, "alice"), d.reader(t, "walter"), d.reader(t, "sofia")}
	brings := func(t *testing.T, typ, parameter, include string, want func(map[string][]*fhir.Resource) bool) {
		t.Helper()
		for _, p := range people {
			p.t = t
			if want(p.search(typ, url.Values{parameter: {include}, "_count": {"100"}}, false)) {
				return
			}
		}
		t.Errorf("%s?%s=%s brings nothing", typ, parameter, include)
	}
	for _, typ := range uscore.Types() {
		for _, include := range uscore.RevIncludes(typ) {
			brings(t, typ, "_revinclude", include, func(found map[string][]*fhir.Resource) bool { return len(found["Provenance"]) > 0 })
		}
		for _, include := range uscore.Includes(typ) {
			brings(t, typ, "_include", include, func(found map[string][]*fhir.Resource) bool { return len(found) > 1 })
		}
	}
}
