package web_test

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/portico-fhir/portico/web"
)

func serve(t *testing.T, method, path, etag string) *http.Response {
	t.Helper()
	a, err := web.NewAssets(fstest.MapFS{
		"a.css":        {Data: []byte("body{}")},
		"vendor/b.js":  {Data: []byte("1")},
		"vendor/b.txt": {Data: []byte("licence")},
	}, "/static/")
	if err != nil {
		t.Fatal(err)
	}
	if path == "hashed" {
		path = a.URL("a.css")
	}
	r := httptest.NewRequest(method, path, nil)
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	rec := httptest.NewRecorder()
	a.ServeHTTP(rec, r)
	return rec.Result()
}

func TestAssetsAnswerOnlyForWhatWasThere(t *testing.T) {
	tests := []struct {
		name, method, path string
		want               int
	}{
		{"directory", "GET", "/static/vendor/", 404},
		{"root", "GET", "/static/", 404},
		{"parent", "GET", "/static/../web.go", 404},
		{"outside the prefix", "GET", "/a.css", 404},
		{"wrong digest", "GET", "/static/a.0000000000000000.css", 404},
		{"POST", "POST", "/static/a.css", 405},
		{"own name", "GET", "/static/a.css", 200},
		{"digest name", "GET", "hashed", 200},
		{"below a folder", "HEAD", "/static/vendor/b.js", 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := serve(t, tt.method, tt.path, "")
			if res.StatusCode != tt.want {
				t.Errorf("status %d, want %d", res.StatusCode, tt.want)
			}
			if res.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Error("no nosniff")
			}
		})
	}
}

func TestADigestNameIsKeptAndAnOwnNameIsRevalidated(t *testing.T) {
	if got := serve(t, "GET", "hashed", "").Header.Get("Cache-Control"); !strings.Contains(got, "immutable") {
		t.Errorf("digest name: %q", got)
	}
	first := serve(t, "GET", "/static/a.css", "")
	if got := first.Header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("own name: %q", got)
	}
	for etag, want := range map[string]int{
		first.Header.Get("ETag"):             304,
		`"x", W/` + first.Header.Get("ETag"): 304,
		`"0000000000000000"`:                 200,
	} {
		if got := serve(t, "GET", "/static/a.css", etag).StatusCode; got != want {
			t.Errorf("If-None-Match %s: %d, want %d", etag, got, want)
		}
	}
}

func TestImpossibleAssetsAreRefused(t *testing.T) {
	if _, err := web.NewAssets(fstest.MapFS{"x.exe": {Data: []byte("x")}}, "/static/"); err == nil {
		t.Error("a file without a known media type is served")
	}
	if _, err := web.NewAssets(fstest.MapFS{}, "static"); err == nil {
		t.Error("a prefix without slashes is accepted")
	}
}

func TestTheStyleSheetLoadsNothingFromElsewhere(t *testing.T) {
	css, err := fs.ReadFile(web.Static, "static/portico.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"@import", "url(", "http:", "https:"} {
		if strings.Contains(string(css), bad) {
			t.Errorf("style sheet has %q", bad)
		}
	}
}
