package gateway_test

import (
	"strings"
	"testing"
)

// What is kept is named by what is looked at of a request. Whatever else stands in
// the first one must not be in the answer that the second gets.
func TestHeadersThatDoNotNameAnAnswerDoNotChangeIt(t *testing.T) {
	for _, path := range []string{"/Observation", "/Observation/observation-alice", "/Observation?nonsense=1", "/Patient/alice/$everything"} {
		fresh, _, _ := withCache(t, 0, twoRecords()...)
		want := fresh.send("GET", path, alice, "")
		for _, first := range [][]string{
			{"Host", "evil.example"}, {"X-Forwarded-Host", "evil.example"}, {"X-Forwarded-Proto", "gopher"}, {"Forwarded", "host=evil.example"}, {"Origin", "https://evil.example"},
			{"If-None-Match", `W/"1"`}, {"If-Match", "*"}, {"If-Modified-Since", "Mon, 02 Jan 2090 15:04:05 GMT"}, {"Range", "bytes=0-1"}, {"If-Range", "x"},
			{"Accept-Encoding", "gzip"}, {"Content-Type", "text/html"}, {"Prefer", "return=minimal"}, {"Prefer", "handling=lenient"},
			{"Cache-Control", "max-age=0"}, {"Cache-Control", "no-store"}, {"Transfer-Encoding", "chunked"},
		} {
			h, _, _ := withCache(t, 0, twoRecords()...)
			h.send("GET", path, alice, "", first...)
			// Handles and links in it are sealed anew, so the length is compared.
			got := h.send("GET", path, alice, "")
			if got.status != want.status || len(got.body) != len(want.body) || strings.Contains(got.body, "evil") {
				t.Errorf("%s after %v: %d %s, want %d %s", path, first, got.status, got.body, want.status, want.body)
			}
		}
	}
}
