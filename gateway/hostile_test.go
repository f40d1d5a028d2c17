package gateway_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-fhir/portico/internal/demo/ehr"
)

// What names something where FHIR has no reference names it all the same for
// whoever looks for what leads where.
func TestNobodyWritesAWayToAResourceBesideTheReferences(t *testing.T) {
	pump := `{"resourceType":"Device","id":"pump-` + mark + `","serialNumber":"` + secret + `"}`
	his := `{"resourceType":"DeviceUseStatement","id":"use-` + mark + `","subject":{"reference":"Patient/` + bobID + `"},"device":{"reference":"Device/pump-` + mark + `"}}`
	to := "Device/pump-" + mark
	for name, more := range map[string]string{
		"at the root":              `,"reference":"` + to + `"`,
		"a list at the root":       `,"reference":["` + to + `"]`,
		"on our base":              `,"reference":"BASE/` + to + `"`,
		"in a contained one":       `,"contained":[{"resourceType":"Organization","id":"o","reference":"` + to + `"}]`,
		"a list in a contained":    `,"contained":[{"resourceType":"Organization","id":"o","reference":["` + to + `"]}]`,
		"url at the root":          `,"url":"` + to + `"`,
		"url of an extension":      `,"extension":[{"url":"` + to + `","valueString":"x"}]`,
		"a primitive's extension":  `,"_status":{"extension":[{"url":"http://x.example/p","valueReference":{"reference":"` + to + `"}}]}`,
		"beside a reference":       `,"focus":[{"reference":"Observation/observation-alice","extension":[{"url":"urn:x","valueReference":{"reference":"` + to + `"}}]}]`,
		"a reference in reference": `,"focus":[{"reference":{"reference":"` + to + `"}}]`,
		"escaped":                  `,"focus":[{"referenc\u0065":"` + to + `"}]`,
		"escaped at the root":      `,"referenc\u0065":"` + to + `"`,
		"narrative":                `,"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>","extension":[{"url":"urn:x","valueReference":{"reference":"` + to + `"}}]}`,
	} {
		h, rec := openWriting(t, pump, his)
		if r := h.get("/"+to, writer); r.status != 404 {
			t.Fatalf("before: %d %s", r.status, r.body)
		}
		rec.take()
		r := h.create("Observation", strings.ReplaceAll(obs(more), "BASE", h.base))
		if sent := rec.take(); len(sent) > 0 || r.status < 400 {
			t.Errorf("%s: %d, the EHR was sent %s", name, r.status, sent)
		}
		if r := h.get("/"+to, writer); r.status != 404 {
			t.Errorf("%s: opened: %d %s", name, r.status, r.body)
		}
	}
}

// A Binary or a Device that was used again says in no version whose it was then.
func TestWhatLeadsToAResourceLeadsToNoOlderVersion(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	h.at("PUT", "Binary/slot", `{"resourceType":"Binary","id":"slot","contentType":"text/plain","data":"Ym9ic2VjcmV0"}`)
	h.at("PUT", "Binary/slot", `{"resourceType":"Binary","id":"slot","contentType":"text/plain","data":"aGVycw=="}`)
	h.at("PUT", "Device/pump", `{"resourceType":"Device","id":"pump","serialNumber":"`+secret+`"}`)
	h.at("PUT", "Device/pump", `{"resourceType":"Device","id":"pump","serialNumber":"hers"}`)
	h.at("PUT", "DocumentReference/doc", `{"resourceType":"DocumentReference","id":"doc","subject":{"reference":"Patient/alice"},"content":[{"attachment":{"url":"Binary/slot"}}]}`)
	h.at("PUT", "Observation/measured", `{"resourceType":"Observation","id":"measured","subject":{"reference":"Patient/alice"},"device":{"reference":"Device/pump"}}`)
	for path, want := range map[string]int{
		"/Binary/slot": 200, "/Binary/slot/_history/2": 200, "/Binary/slot/_history/1": 404, "/Binary/slot/_history": 200,
		"/Device/pump": 200, "/Device/pump/_history/2": 200, "/Device/pump/_history/1": 404, "/Device/pump/_history": 200,
	} {
		r := h.get(path, alice)
		if r.status != want || betrays(h, 0, r) != "" {
			t.Errorf("%s: %d, want %d: %s %s", path, r.status, want, betrays(h, 0, r), r.body)
		}
	}
}

// What a search or a history costs is seen in how long it takes, as a read is.
func TestForeignAndMissingVersionsCostTheUpstreamTheSame(t *testing.T) {
	h := pasts(t)
	h.at("PUT", "Observation/his-"+mark, observation("his-"+mark, bobID, secret))
	h.at("PUT", "Device/nobodys-"+mark, `{"resourceType":"Device","id":"nobodys-`+mark+`"}`)
	var asked atomic.Int64
	h.ehr.MisbehaveWhen(0, func(*http.Request) bool { asked.Add(1); return false })
	cost := func(path string) int64 {
		before := asked.Load()
		if r := h.get(path, alice); r.status != http.StatusNotFound && !strings.Contains(r.body, `"total":0`) {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
		return asked.Load() - before
	}
	cost("/Observation/none")
	for _, row := range [][2]string{
		{"/Observation/his-gone/_history", "/Observation/none/_history"},
		{"/Observation/his-gone/_history/1", "/Observation/none/_history/1"},
		{"/Observation/his-gone/_history/2", "/Observation/none/_history/2"},
		{"/Observation/his-" + mark + "/_history", "/Observation/none/_history"},
		{"/Observation/his-" + mark + "/_history/1", "/Observation/none/_history/1"},
		{"/Provenance/prov-" + mark + "/_history", "/Provenance/none/_history"},
		{"/Provenance/prov-" + mark + "/_history/1", "/Provenance/none/_history/1"},
		{"/Device/nobodys-" + mark + "/_history", "/Device/none/_history"},
		{"/Device/nobodys-" + mark + "/_history/1", "/Device/none/_history/1"},
		{"/Binary/bin-" + mark + "/_history", "/Binary/none/_history"},
		{"/PaymentNotice/pay-" + mark + "/_history", "/PaymentNotice/none/_history"},
		{"/Provenance?_id=prov-" + mark, "/Provenance?_id=none"},
		{"/Device?_id=nobodys-" + mark, "/Device?_id=none"},
		{"/PaymentNotice?_id=pay-" + mark, "/PaymentNotice?_id=none"},
		{"/PaymentNotice?request=Claim/claim-" + bobID, "/PaymentNotice?request=Claim/none"},
	} {
		if foreign, missing := cost(row[0]), cost(row[1]); foreign != missing {
			t.Errorf("%s costs %d requests, a missing one %d", row[0], foreign, missing)
		}
	}
}

// What is too large to be judged is not there: "unusable" would tell that it is.
func TestWhatIsTooLargeToBeJudgedLooksMissing(t *testing.T) {
	large := strings.Repeat("A", 33<<20)
	up := &scripted{
		read: func(typ, id string) string {
			if id == "none" {
				return ""
			}
			return fmt.Sprintf(`{"resourceType":%q,"id":%q,"data":"%s"}`, typ, id, large)
		},
		search: func(string) string { return `{"resourceType":"Bundle"}` },
	}
	h := openOver(t, up, somewhere(t), 0)
	for _, path := range []string{"/Binary/", "/Communication/", "/Device/", "/Provenance/"} {
		for _, headers := range [][]string{nil, {"Accept", "application/pdf, */*;q=0.1"}} {
			if path != "/Binary/" && headers != nil {
				continue
			}
			foreign, missing := h.get(path+"large", alice, headers...), h.get(path+"none", alice, headers...)
			if foreign.status != missing.status || foreign.body != missing.body || missing.status != 404 {
				t.Errorf("%s: %d %s, a missing one %d", path, foreign.status, foreign.body, missing.status)
			}
		}
	}
}

// Who guesses the EHR's address must not see from a tag that it is right.
func TestTheTagOfAFileTellsNoAddress(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	h.ehr.Misbehave(ehr.RawBinary)
	at := h.origin + "/fhir/Binary/bin-alice"
	theirs := h.get(at, "", "Accept", "text/plain")
	r := h.get("/Binary/bin-alice", alice, "Accept", "text/plain")
	sum := sha256.Sum256([]byte(at + "\x00" + theirs.header.Get("ETag")))
	if tag := r.header.Get("ETag"); r.status != 200 || tag == "" || strings.Contains(tag, base64.RawURLEncoding.EncodeToString(sum[:16])) {
		t.Errorf("%d %q of %q", r.status, tag, theirs.header.Get("ETag"))
	}
	if again := h.get("/Binary/bin-alice", alice, "Accept", "text/plain"); again.header.Get("ETag") != r.header.Get("ETag") {
		t.Error("another tag for the same file")
	}
}

// A record system may answer for what it has and does not give, so as not to be
// asked again: whose it is, nobody knows here, and that it is there is not told.
func TestWhatAnEHRHasAndDoesNotGiveLooksMissing(t *testing.T) {
	var status int
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/fhir+json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/metadata"):
			_, _ = io.WriteString(w, `{"resourceType":"CapabilityStatement","rest":[{"resource":[{"type":"Observation","searchParam":[{"name":"_id"},{"name":"patient"}]}]}]}`)
		case strings.HasSuffix(r.URL.Path, mark), strings.Contains(r.URL.RawQuery, "_id="+mark):
			w.Header().Set("Location", "https://store.example/"+mark)
			w.WriteHeader(status)
		case r.URL.RawQuery != "" || strings.Count(r.URL.Path, "/") == 2:
			_, _ = io.WriteString(w, `{"resourceType":"Bundle","type":"searchset"}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(up.Close)
	connector, base := connect(t, up.URL, 2*time.Second)
	h := openOver(t, connector, base, 0)
	for _, status = range []int{402, 403, 405, 410, 423, 424, 451, 501, 302, 307} {
		for _, path := range []string{"/Binary/", "/Communication/", "/Provenance/", "/Device/", "/Practitioner/", "/Observation/"} {
			if status < 400 && path != "/Binary/" { // elsewhere a redirect tells of a wrong address
				continue
			}
			there, missing := h.get(path+mark, alice), h.get(path+"none", alice)
			if there.status != missing.status || there.body != missing.body || missing.status != 404 {
				t.Errorf("%s with %d: %d %s, a missing one %d", path, status, there.status, there.body, missing.status)
			}
		}
	}
}
