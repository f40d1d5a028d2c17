package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/upstream/fhirserver"
	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/seal"
)

// sealers gives what seals pages and files with keys, the newest first.
func sealers(t *testing.T, keys ...string) (pages, files *seal.Sealer) {
	t.Helper()
	var raw [][]byte
	for _, k := range keys {
		raw = append(raw, bytes.Repeat([]byte(k), seal.KeySize))
	}
	ring, err := seal.NewRing(raw[0], raw[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	if pages, err = ring.For("page"); err != nil {
		t.Fatal(err)
	}
	if files, err = ring.For("file"); err != nil {
		t.Fatal(err)
	}
	return pages, files
}

func TestLinksEndAndOutliveReplicasRestartsAndRotations(t *testing.T) {
	h := files(t)
	h.load(`{"resourceType":"Observation","id":"more","subject":{"reference":"Patient/alice"}}`)
	connector, base := connect(t, h.origin, 0)
	begun := time.Now().Truncate(24 * time.Hour).Add(-72 * time.Hour) // the bearers of the house are good until an hour from now
	now := begun
	twin := func(keys ...string) *house {
		return openOver(t, connector, base, 0, func(o *gateway.Options) {
			o.Now = func() time.Time { return now }
			o.Pages, o.Files = sealers(t, keys...)
		})
	}
	a := twin("k")
	link := func(h *house, url string) string { return strings.TrimPrefix(url, h.base) }
	file := link(a, a.handle("/DocumentReference/long", alice))
	page := link(a, nextOf(t, a.get("/Observation?_count=1", alice)))
	if b := twin("k"); link(b, b.handle("/DocumentReference/long", alice)) != file {
		t.Error("two replicas give two URLs for one file")
	}
	for name, tt := range map[string]struct {
		keys       []string
		after      time.Duration
		file, page int
	}{
		"another replica, or the same after a restart": {[]string{"k"}, 0, 200, 200},
		"after a rotation":           {[]string{"n", "k"}, 0, 200, 200},
		"when the old key is gone":   {[]string{"n"}, 0, 404, 404},
		"two hours later":            {[]string{"k"}, 2 * time.Hour, 200, 404},
		"at the end of the next day": {[]string{"k"}, 47 * time.Hour, 200, 404},
		"after the next day":         {[]string{"k"}, 48 * time.Hour, 404, 404},
	} {
		other := twin(tt.keys...)
		now = begun.Add(tt.after)
		if r := other.get(file, alice); r.status != tt.file {
			t.Errorf("%s: a file gives %d %s", name, r.status, r.body)
		}
		if r := other.get(page, alice); r.status != tt.page {
			t.Errorf("%s: a page gives %d %s", name, r.status, r.body)
		}
		now = begun
	}
}

// Only what is listed is fetched, and only through a handle.
func TestPlacesForAttachments(t *testing.T) {
	var asked []string
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/pdf")
		w.Header().Set("Server", "leaky/1.0")
		w.Header().Set("Set-Cookie", "a=b")
		_, _ = io.WriteString(w, "content")
	}))
	t.Cleanup(store.Close)
	h := open(t, 0, `{"resourceType":"Patient","id":"alice"}`)
	h.load(fmt.Sprintf(`{"resourceType":"DocumentReference","id":"in","subject":{"reference":"Patient/alice"},"content":[{"attachment":{"url":"%s/files/a.pdf?v=1"}}]}`, store.URL),
		fmt.Sprintf(`{"resourceType":"DocumentReference","id":"beside","subject":{"reference":"Patient/alice"},"content":[{"attachment":{"url":"%s/filesystem/a.pdf"}}]}`, store.URL),
		fmt.Sprintf(`{"resourceType":"DocumentReference","id":"climbing","subject":{"reference":"Patient/alice"},"content":[{"attachment":{"url":"%s/files/%%%%2e%%%%2e/x"}}]}`, store.URL))
	base, err := fhir.ParseBase(h.origin + "/fhir")
	if err != nil {
		t.Fatal(err)
	}
	place, err := fhir.ParseBase(store.URL + "/files")
	if err != nil {
		t.Fatal(err)
	}
	connector, err := fhirserver.New(fhirserver.Options{Base: base, Authorize: func(r *http.Request) { r.Header.Set("Authorization", "secret") }, Places: []fhirserver.Place{{Base: place}}})
	if err != nil {
		t.Fatal(err)
	}
	g := openOver(t, connector, base, 0, func(o *gateway.Options) { o.Sources[0].Attachments = []fhir.Base{place} })
	r := g.get(g.handle("/DocumentReference/in", alice), alice)
	if r.status != 200 || r.body != "content" || r.header.Get("Server") != "" || r.header.Get("Set-Cookie") != "" {
		t.Errorf("%d %v %s", r.status, r.header, r.body)
	}
	for _, id := range []string{"beside", "climbing"} {
		if r := g.get(g.handle("/DocumentReference/"+id, alice), alice); r.status != http.StatusNotFound {
			t.Errorf("%s: %d", id, r.status)
		}
	}
	if fmt.Sprint(asked) != "[/files/a.pdf]" {
		t.Errorf("%q", asked)
	}
	// The handle is worth nothing once the place is not listed any more.
	without := openOver(t, connector, base, 0)
	handle := strings.TrimPrefix(g.handle("/DocumentReference/in", alice), g.base)
	if r := without.get(handle, alice); r.status != http.StatusNotFound {
		t.Errorf("%d", r.status)
	}
}

// A file that two people may see has a handle for each.
func TestAHandleIsOfOnePatient(t *testing.T) {
	h := files(t)
	h.load(`{"resourceType":"DocumentReference","id":"shared-` + mark + `","subject":{"reference":"Patient/` + bobID + `"},"content":[{"attachment":{"url":"Binary/long"}}]}`)
	bob := bobID + ":patient/*.rs"
	his, hers := h.handle("/DocumentReference/shared-"+mark, bob), h.handle("/DocumentReference/long2", alice)
	if r := h.get(his, bob); r.status != http.StatusOK || his == hers {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for _, accept := range []string{"*/*", "application/fhir+json"} {
		if r := h.get(hers, bob, "Accept", accept); r.status != http.StatusNotFound {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
}

// What the EHR calls FHIR was not judged, wherever it lies.
func TestFHIRIsNoFile(t *testing.T) {
	for _, contentType := range []string{"application/fhir+json", "application/json", "application/fhir+xml", "Application/FHIR+JSON; charset=utf-8", "application/fhir+ndjson"} {
		h := files(t)
		h.load(`{"resourceType":"Binary","id":"fhir","contentType":"`+contentType+`","data":"e30="}`,
			`{"resourceType":"DocumentReference","id":"fhir","subject":{"reference":"Patient/alice"},"content":[{"attachment":{"url":"documents/fhir.txt"}}]}`)
		if r := h.get(h.handle("/DocumentReference/fhir", alice), alice); r.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", contentType, r.status, r.body)
		}
	}
}

// Handles change while the version does not, so the app is never told that it
// has the answer already.
func TestAnAnswerWithHandlesIsAlwaysNew(t *testing.T) {
	h := files(t)
	h.load(`{"resourceType":"DocumentReference","id":"v","meta":{"versionId":"3"},"subject":{"reference":"Patient/alice"},"content":[{"attachment":{"url":"Binary/long"}}]}`,
		`{"resourceType":"Observation","id":"v","meta":{"versionId":"3"},"subject":{"reference":"Patient/alice"}}`)
	for path, want := range map[string]int{"/DocumentReference/v": 200, "/Observation/v": 304} {
		if r := h.get(path, alice, "If-None-Match", `W/"3"`); r.status != want {
			t.Errorf("%s: %d", path, r.status)
		}
	}
}

// The files behind a record cost the EHR one request each while it is known what
// leads to them.
func TestAFileCostsTheEHROneRequest(t *testing.T) {
	h := files(t)
	handles := []string{h.handle("/DocumentReference/long", alice), h.handle("/DocumentReference/long2", alice)}
	asked := 0
	h.ehr.MisbehaveWhen(ehr.AbsoluteURLs, func(*http.Request) bool { asked++; return false })
	for _, u := range handles {
		asked = 0
		if r := h.get(u, alice); r.status != http.StatusOK || asked != 1 {
			t.Errorf("%d, %d requests", r.status, asked)
		}
	}
}
