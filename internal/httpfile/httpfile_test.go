package httpfile_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/portico-fhir/portico/internal/httpfile"
)

const content = "0123456789abcdef"

var changed = time.Date(2026, 3, 4, 5, 6, 7, 890, time.UTC)

func asked(t *testing.T, method string, headers ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func file() *httpfile.File {
	return &httpfile.File{
		Body: io.NopCloser(strings.NewReader(content)), ContentType: "text/plain", Total: int64(len(content)), ETag: `"one"`, Modified: changed,
	}
}

// TestWhatIsSentIsWhatTheStandardLibrarySends holds every combination against
// http.ServeContent. Several ranges are the one difference: here they are ignored.
func TestWhatIsSentIsWhatTheStandardLibrarySends(t *testing.T) {
	ranges := []string{"", "bytes=0-0", "bytes=3-7", "bytes=5-", "bytes=-4", "bytes=-99", "bytes=0-99", "bytes=16-", "bytes=99-100"}
	conditions := [][]string{
		nil, {"If-None-Match", `"one"`}, {"If-None-Match", `"two"`}, {"If-None-Match", "*"}, {"If-None-Match", `W/"one"`},
		{"If-Modified-Since", changed.Format(http.TimeFormat)}, {"If-Modified-Since", changed.Add(-time.Hour).Format(http.TimeFormat)},
		{"If-None-Match", `"two"`, "If-Modified-Since", changed.Format(http.TimeFormat)},
		{"If-Range", `"one"`}, {"If-Range", `"two"`}, {"If-Range", `W/"one"`}, {"If-Range", changed.Format(http.TimeFormat)}, {"If-Range", changed.Add(-time.Hour).Format(http.TimeFormat)},
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		for _, rng := range ranges {
			for _, more := range conditions {
				headers := more
				if rng != "" {
					headers = append([]string{"Range", rng}, more...)
				}
				want := httptest.NewRecorder()
				want.Header().Set("Content-Type", "text/plain")
				want.Header().Set("ETag", `"one"`)
				r := asked(t, method, headers...)
				if method == http.MethodHead {
					r.Header.Del("Range") // RFC 9110 §14.2
				}
				http.ServeContent(want, r, "", changed, strings.NewReader(content))
				got := httptest.NewRecorder()
				how := file().Plan(httpfile.WantsOf(asked(t, method, headers...)))
				if how.Status != want.Code {
					t.Errorf("%s %q: %d, want %d", method, headers, how.Status, want.Code)
					continue
				}
				if how.Status == http.StatusRequestedRangeNotSatisfiable {
					continue
				}
				if err := file().Send(got, asked(t, method), how); err != nil {
					t.Errorf("%s %q: %v", method, headers, err)
				}
				if got.Body.String() != want.Body.String() || got.Header().Get("Content-Range") != want.Header().Get("Content-Range") || got.Header().Get("Content-Length") != want.Header().Get("Content-Length") {
					t.Errorf("%s %q: %q %v, want %q %v", method, headers, got.Body, got.Header(), want.Body, want.Header())
				}
			}
		}
	}
}

func TestARangeThatIsNotOneIsIgnored(t *testing.T) {
	for _, text := range []string{"bytes=", "bytes=-", "bytes=-0", "bytes=a-b", "bytes=5-3", "bytes=0-1,4-5", "items=0-1", "bytes=9999999999999999-", "bytes=+1-2", "0-1"} {
		if w := httpfile.WantsOf(asked(t, http.MethodGet, "Range", text)); w.Range != nil {
			t.Errorf("%q: %+v", text, *w.Range)
		}
	}
	if w := httpfile.WantsOf(asked(t, http.MethodGet, "Range", "bytes=0-1", "Range", "bytes=2-3")); w.Range != nil {
		t.Error("one of two headers counts")
	}
}

func TestAPartIsOnlyPassedOnWhenItIsTheOneAskedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		asked, got string
		length     int64
		want       bool
	}{
		"it":                    {"bytes=3-7", "bytes 3-7/16", 5, true},
		"cut at the end":        {"bytes=3-99", "bytes 3-15/16", 13, true},
		"of unknown size":       {"bytes=3-", "bytes 3-15/*", 13, true},
		"another":               {"bytes=3-7", "bytes 4-8/16", 5, false},
		"shorter than there is": {"bytes=3-7", "bytes 3-5/16", 3, false},
		"a length that lies":    {"bytes=3-7", "bytes 3-7/16", 6, false},
		"none asked for":        {"", "bytes 3-7/16", 5, false},
	} {
		var headers []string
		if tt.asked != "" {
			headers = []string{"Range", tt.asked}
		}
		part, total := httpfile.ParseContentRange(tt.got)
		if part == nil {
			t.Fatalf("%s: unread", name)
		}
		if got := part.Answers(httpfile.WantsOf(asked(t, http.MethodGet, headers...)).Range, total, tt.length); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	for _, bad := range []string{"", "bytes", "bytes 3-7", "bytes 7-3/16", "bytes 3-16/16", "bytes */16", "bytes 3-7/x", "items 3-7/16"} {
		if part, _ := httpfile.ParseContentRange(bad); part != nil {
			t.Errorf("%q is a part", bad)
		}
	}
}

func TestAFileThatEndsEarlyOrFailsIsAnError(t *testing.T) {
	for name, body := range map[string]io.Reader{
		"short":   strings.NewReader(content[:5]),
		"failing": iotest.ErrReader(errors.New("secret.example.org")),
	} {
		f := file()
		f.Body = io.NopCloser(body)
		if err := f.Send(httptest.NewRecorder(), asked(t, http.MethodGet), f.Plan(httpfile.Wants{})); !errors.Is(err, httpfile.ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOnlyWhatRunsNothingIsShownInABrowser(t *testing.T) {
	for media, shown := range map[string]bool{
		"application/pdf": true, "image/png": true, "video/mp4": true, "text/plain; charset=utf-8": true,
		"text/html": false, "image/svg+xml": false, "application/xml": false, "": false, "no type": false, "IMAGE/SVG+XML": false,
	} {
		f, w := file(), httptest.NewRecorder()
		f.ContentType = media
		if err := f.Send(w, asked(t, http.MethodGet), f.Plan(httpfile.Wants{})); err != nil {
			t.Fatal(err)
		}
		if got := w.Header().Get("Content-Disposition") == ""; got != shown {
			t.Errorf("%q: shown %t", media, got)
		}
		if !bytes.Equal(w.Body.Bytes(), []byte(content)) || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%q: %v", media, w.Header())
		}
	}
}

func TestAccept(t *testing.T) {
	for name, tt := range map[string]struct {
		accept, media string
		want          bool
	}{
		"anything":           {"", "image/png", true},
		"by name":            {"text/html, image/png;q=0.1", "image/png", true},
		"by kind":            {"image/*", "image/png", true},
		"all":                {"*/*", "image/png", true},
		"with a parameter":   {"text/plain", "text/plain; charset=utf-8", true},
		"another":            {"image/jpeg", "image/png", false},
		"refused":            {"image/png;q=0", "image/png", false},
		"a weight over one":  {"image/png;q=2", "image/png", false},
		"a weight of no use": {"image/png;q=NaN", "image/png", false},
	} {
		if got := httpfile.Accepts(tt.accept, tt.media); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
