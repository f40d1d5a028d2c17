package fhirserver_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/fhirserver"
	"github.com/portico-fhir/portico/internal/fault"
)

// opening is a connector to a server with a FHIR base, a place that is listed
// and one that gets the credentials.
func opening(t *testing.T, serve http.HandlerFunc) (*fhirserver.Server, string) {
	t.Helper()
	up := httptest.NewServer(serve)
	t.Cleanup(up.Close)
	base := func(path string) fhir.Base {
		b, err := fhir.ParseBase(up.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	s, err := fhirserver.New(fhirserver.Options{
		Base: base("/api/fhir"), Authorize: func(r *http.Request) { r.Header.Set("Authorization", "Bearer secret") }, Timeout: 300 * time.Millisecond, MaxBody: 1 << 20,
		Places: []fhirserver.Place{{Base: base("/store")}, {Base: base("/vault"), Credentials: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, up.URL
}

func TestOnlyListedPlacesAreAsked(t *testing.T) {
	var asked []string
	s, origin := opening(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.RequestURI+" "+r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, "x")
	})
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was asked") }))
	t.Cleanup(elsewhere.Close)
	for _, link := range []string{
		elsewhere.URL + "/api/fhir/Binary/x", origin + "/api/fhir2/Binary/x", origin + "/api", origin + "/storehouse/x", origin + "/store/../api/x", origin + "/store/%2e%2e/x",
		origin + "/store\\x", strings.Replace(origin, "http://", "http://u:p@", 1) + "/store/x", strings.Replace(origin, "http://", "https://", 1) + "/store/x", "store/x", "//store/x", "",
		origin + "/STORE/x", "file:///etc/passwd", origin + "/store/a\nb",
	} {
		if f, err := s.Open(t.Context(), link, upstream.FileRequest{}); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%q: %v, %v", link, f, err)
		}
	}
	if len(asked) > 0 {
		t.Errorf("asked for %q", asked)
	}
	for link, want := range map[string]string{
		"/api/fhir/Binary/x": "/api/fhir/Binary/x Bearer secret",
		"/store/a%20b?v=1":   "/store/a%20b?v=1 ",
		"/vault/x":           "/vault/x Bearer secret",
		"/api/fhir/docs/x":   "/api/fhir/docs/x Bearer secret",
	} {
		asked = nil
		f, err := s.Open(t.Context(), origin+link, upstream.FileRequest{})
		if err != nil {
			t.Errorf("%s: %v", link, err)
			continue
		}
		_ = f.Body.Close()
		if len(asked) != 1 || asked[0] != want {
			t.Errorf("%s: %q", link, asked)
		}
	}
}

func TestFilesThatAreNone(t *testing.T) {
	header := func(status int, pairs ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				w.Header().Set(pairs[i], pairs[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "12345")
		}
	}
	for name, tt := range map[string]struct {
		serve http.HandlerFunc
		want  upstream.FileRequest
		kind  fault.Kind
	}{
		"a redirect":                  {header(302, "Location", "http://elsewhere.invalid/"), upstream.FileRequest{}, fault.Upstream},
		"a redirect for good":         {header(308, "Location", "/store/y"), upstream.FileRequest{}, fault.Upstream},
		"not there":                   {header(404), upstream.FileRequest{}, fault.NotFound},
		"not any more":                {header(410), upstream.FileRequest{}, fault.NotFound},
		"not for us":                  {header(403), upstream.FileRequest{}, fault.Unsupported},
		"not signed in":               {header(401), upstream.FileRequest{}, fault.Unsupported},
		"not understood":              {header(400), upstream.FileRequest{}, fault.Unsupported},
		"not in this type":            {header(406), upstream.FileRequest{}, fault.Unsupported},
		"a failure":                   {header(500), upstream.FileRequest{}, fault.Upstream},
		"too many":                    {header(429), upstream.FileRequest{}, fault.TooMany},
		"nothing":                     {header(204), upstream.FileRequest{}, fault.Upstream},
		"compressed unasked":          {header(200, "Content-Encoding", "gzip"), upstream.FileRequest{}, fault.Upstream},
		"a part unasked":              {header(206, "Content-Range", "bytes 0-4/9"), upstream.FileRequest{}, fault.Upstream},
		"a part of nobody knows what": {header(206), upstream.FileRequest{Range: "bytes=0-4"}, fault.Upstream},
		"no such range":               {header(416), upstream.FileRequest{Range: "bytes=9-"}, fault.Invalid},
		"no such range, of a length":  {header(416, "Content-Range", "bytes */5"), upstream.FileRequest{Range: "bytes=9-"}, fault.Invalid},
		"no such range, of nonsense":  {header(416, "Content-Range", "bytes */-5"), upstream.FileRequest{Range: "bytes=9-"}, fault.Invalid},
		"no such range, unasked":      {header(416), upstream.FileRequest{}, fault.Upstream},
		"a hang":                      {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, upstream.FileRequest{}, fault.UpstreamTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			s, origin := opening(t, tt.serve)
			f, err := s.Open(t.Context(), origin+"/store/x", tt.want)
			if err == nil {
				_ = f.Body.Close()
			}
			if fault.KindOf(err) != tt.kind || err == nil {
				t.Errorf("%v", err)
			}
			if strings.Contains(name, "no such range") && errors.Is(err, upstream.ErrRange) != (tt.want.Range != "") {
				t.Errorf("ErrRange: %v", err)
			}
			var length upstream.NoRange
			if told := errors.As(err, &length); told != (name == "no such range, of a length") || told && length.Total != 5 {
				t.Errorf("a length: %v %d", told, length.Total)
			}
			if err != nil && (strings.Contains(err.Error(), origin) || strings.Contains(err.Error(), "12345")) {
				t.Errorf("the error tells of the upstream: %v", err)
			}
		})
	}
}

func TestBodiesOfFilesThatBreakOff(t *testing.T) {
	for name, serve := range map[string]http.HandlerFunc{
		"shorter than announced": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "short")
		},
		"without end": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		},
		"stalling": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "some")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, origin := opening(t, serve)
			f, err := s.Open(t.Context(), origin+"/api/fhir/documents/x", upstream.FileRequest{})
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, f.Body)
			_ = f.Body.Close()
			if err == nil || n > 1<<20 {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
}

func TestWhatIsPassedOnOfAFile(t *testing.T) {
	var got http.Header
	s, origin := opening(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("ETag", `"e"`)
		w.Header().Set("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
		w.Header().Set("Content-Range", "bytes 1-3/9")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "123")
	})
	f, err := s.Open(t.Context(), origin+"/store/x", upstream.FileRequest{Accept: "text/plain", Range: "bytes=1-3"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Body.Close() }()
	if got.Get("Accept") != "text/plain" || got.Get("Range") != "bytes=1-3" || got.Get("Accept-Encoding") != "identity" || got.Get("Authorization") != "" {
		t.Errorf("%v", got)
	}
	if f.ContentType != "text/plain" || f.Length != 3 || f.ContentRange != "bytes 1-3/9" || f.ETag != `"e"` || f.LastModified.Year() != 2024 {
		t.Errorf("%+v", f)
	}
}
