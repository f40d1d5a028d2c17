package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/demo/ehr"
)

// mixed answers every change with something of bob's.
type mixed struct {
	upstream.Writer
	done upstream.Written
}

func (m *mixed) Create(ctx context.Context, typ string, body []byte) (*upstream.Written, error) {
	out := m.done
	return &out, nil
}
func (m *mixed) Update(ctx context.Context, typ, id string, body []byte, ifMatch string) (*upstream.Written, error) {
	out := m.done
	return &out, nil
}

func TestAnEHRThatAnswersAChangeWithSomebodyElses(t *testing.T) {
	his := observation("observation-"+bobID, bobID, secret)
	for name, done := range map[string]upstream.Written{
		"his body":          {ID: "observation-" + bobID, ETag: `W/"1"`, Body: []byte(his)},
		"his id":            {ID: "observation-" + bobID, ETag: `W/"1"`},
		"his id, odd tag":   {ID: "observation-" + bobID, ETag: `W/"` + secret + ` x"`},
		"his body, hers id": {ID: "hers", ETag: `W/"1"`, Body: []byte(observation("hers", bobID, secret))},
	} {
		h := openWith(t, 0, func(o *gateway.Options) {
			o.Sources[0].Writes = &mixed{Writer: o.Sources[0].Writes, done: done}
			o.Sources[0].Write = everyWrite()
		}, append(twoRecords(), hers)...)
		for _, token := range []string{writer, "alice:patient/Observation.c", "alice:patient/Observation.cu+patient/Observation.r?_id=x"} {
			r := h.send("POST", "/Observation", token, obs(""), "Content-Type", fhirBody)
			if what := betrays(h, 0, r); what != "" {
				t.Errorf("%s %s: %s: %d %v %s", name, token, what, r.status, r.header, r.body)
			}
		}
		r := h.send("PUT", "/Observation/hers", writer, strings.Replace(obs(""), `{`, `{"id":"hers",`, 1), "Content-Type", fhirBody, "If-Match", `W/"7"`)
		if what := betrays(h, 0, r); what != "" {
			t.Errorf("%s: %s: %d %v %s", name, what, r.status, r.header, r.body)
		}
	}
}

func TestHistoryOfWhatIsSharedHoldsOnlyWhatNamedHer(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	with := func(who ...string) string {
		var seats []string
		for _, w := range who {
			seats = append(seats, `{"actor":{"reference":"`+w+`","display":"`+map[bool]string{true: "hers", false: secret}[strings.HasSuffix(w, "alice")]+`"},"status":"accepted"}`)
		}
		return `{"resourceType":"Appointment","id":"visit","status":"booked","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">` + secret + `</div>"},"description":"d","participant":[` + strings.Join(seats, ",") + `]}`
	}
	base := h.origin + "/fhir/"
	for _, who := range [][]string{{"Patient/" + bobID}, {"Patient/" + bobID, "Patient/alice"}, {base + "Patient/" + bobID, base + "Patient/alice"}, {"Patient/" + bobID}} {
		h.at("PUT", "Appointment/visit", with(who...))
	}
	for _, path := range []string{"/1", "/2", "/3", "/4", ""} { // she stands in it no more
		if r := h.get("/Appointment/visit/_history"+path, alice); r.status != 404 || betrays(h, 0, r) != "" {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	h.at("PUT", "Appointment/visit", with("Patient/"+bobID, "Patient/alice"))
	for _, q := range []string{"", "?_elements=participant", "?_elements=text", "?_elements=description", "?_summary=true", "?_summary=text", "?_summary=data", "?_pretty=true", "?_elements=status&_pretty=true"} {
		for path, want := range map[string]int{"/Appointment/visit/_history/1": 404, "/Appointment/visit/_history/2": 200, "/Appointment/visit/_history/3": 200, "/Appointment/visit/_history/4": 404, "/Appointment/visit/_history/5": 200, "/Appointment/visit": 200, "/Appointment/visit/_history": 200} {
			r := h.get(path+q, alice)
			if r.status != want || betrays(h, 0, r) != "" {
				t.Errorf("%s%s: %d want %d (%s) %s", path, q, r.status, want, betrays(h, 0, r), r.body)
			}
		}
		for _, path := range []string{"/Appointment/group-visit", "/Appointment", "/Patient/alice/*?_type=Appointment", "/Patient/alice/$everything?_type=Appointment"} {
			sep := q
			if strings.Contains(path, "?") {
				sep = strings.Replace(q, "?", "&", 1)
			}
			r := h.get(path+sep, alice)
			if betrays(h, 0, r) != "" || r.status != 200 {
				t.Errorf("%s%s: %d (%s) %s", path, sep, r.status, betrays(h, 0, r), r.body)
			}
		}
	}
}

func TestABatchOfWritesAndReadsUnderACacheSeesItsOwnChanges(t *testing.T) {
	h, _, _ := withCache(t, 0, append(twoRecords(), hers)...)
	for range 2 {
		h.get("/Observation/hers", writer)
		h.get("/Observation?_id=hers", writer)
	}
	put := strings.Replace(obs(`,"note":[{"text":"changed"}]`), `{`, `{"id":"hers",`, 1)
	body := `{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Observation/hers"}},{"resource":` + put + `,"request":{"method":"PUT","url":"Observation/hers","ifMatch":"W/\"7\""}},{"request":{"method":"GET","url":"Observation/hers"}},{"request":{"method":"GET","url":"Observation?_id=hers"}},{"request":{"method":"DELETE","url":"Observation/hers","ifMatch":"W/\"8\""}},{"request":{"method":"GET","url":"Observation/hers"}},{"request":{"method":"GET","url":"Observation/observation-` + bobID + `"}}]}`
	r := h.send("POST", "/", writer, body, "Content-Type", fhirBody)
	r2 := h.send("POST", "", writer, body, "Content-Type", fhirBody)
	if r.status != 200 {
		r = r2
	}
	if strings.Count(r.body, "changed") != 3 || strings.Count(r.body, `"status":"404 Not Found"`) != 2 || betrays(h, 0, r) != "" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestNothingAnAppWritesComesBackWithTheAddressOfTheEHR(t *testing.T) {
	h, _ := openWriting(t)
	ours := h.base + "/Observation/observation-alice"
	for _, more := range []string{
		`,"source":"OURS"`, `,"uri":"OURS"`, `,"address":"OURS"`, `,"url":"OURS"`, `,"valueUri":"OURS"`, `,"valueUri":["OURS"]`, `,"url":["OURS"]`, `,"valueUrl":[["OURS"]]`,
		`,"valueCanonical":"OURS"`, `,"x":{"source":"OURS"}`, `,"x":[{"address":"OURS"}]`, `,"extension":[{"url":"urn:x","valueUrl":"OURS"}]`, `,"extension":[{"url":"OURS","valueUrl":"x"}]`,
		`,"extension":[{"url":["OURS"],"valueUrl":"x"}]`, `,"extension":{"url":{"url":"OURS"}}`, `,"extension":{"extension":{"x":1,"url":"OURS"}}`, `,"focus":[{"reference":"OURS"}]`, `,"contained":[{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/alice"},"meta":{"source":"OURS"}}]`,
		`,"note":[{"text":"OURS"}]`, `,"extension":[{"url":"http://x.example/e","valueAttachment":{"url":"OURS"}}]`, `,"modifierExtension":[{"url":"http://x.example/e","url2":{"url":"OURS"}}]`,
	} {
		r := h.create("Observation", obs(strings.ReplaceAll(more, "OURS", ours)))
		if what := betrays(h, 0, r); what != "" {
			t.Errorf("%s: %d %s: %s", more, r.status, what, r.body)
		}
		if at := r.header.Get("Location"); at != "" {
			for _, path := range []string{at, at[:strings.Index(at, "/_history")], h.base + "/Observation", h.base + "/Patient/alice/$everything", h.base + "/Observation?_elements=source,uri,address,x"} {
				if r := h.get(path, writer); betrays(h, 0, r) != "" || r.status != 200 {
					t.Errorf("%s: %s: %d %s", more, path, r.status, r.body)
				}
			}
			h.send("DELETE", at[:strings.Index(at, "/_history")], writer, "", "If-Match", r.header.Get("ETag"))
		}
	}
}

// What a new resource points to is looked for; how long that takes tells nothing.
func TestPointingAtForeignAndMissingCostsTheSame(t *testing.T) {
	h, _ := openWriting(t, `{"resourceType":"Device","id":"nobodys-`+mark+`"}`)
	var asked atomic.Int64
	h.ehr.MisbehaveWhen(0, func(*http.Request) bool { asked.Add(1); return false })
	cost := func(to string) int64 {
		before := asked.Load()
		if r := h.create("Observation", obs(`,"focus":[{"reference":"`+to+`"}]`)); r.status != 422 {
			t.Errorf("%s: %d", to, r.status)
		}
		return asked.Load() - before
	}
	cost("Observation/none")
	for foreign, missing := range map[string]string{
		"Observation/observation-" + bobID: "Observation/none", "Device/device-" + bobID: "Device/none", "Device/nobodys-" + mark: "Device/none",
		"Binary/bin-" + mark: "Binary/none", "Provenance/prov-" + mark: "Provenance/none", "Communication/communication-" + bobID: "Communication/none",
		"PaymentNotice/pay-" + mark: "PaymentNotice/none", "Group/" + mark + "-group": "Group/none", "Specimen/specimen-" + bobID: "Specimen/none",
	} {
		if a, b := cost(foreign), cost(missing); a != b {
			t.Errorf("%s costs %d, a missing one %d", foreign, a, b)
		}
	}
}

// A record that gives files in no other form than as they are shows nobody what
// a narrower scope, or whose it is, could be read from.
func TestAFileThatCannotBeLookedIntoTellsNothing(t *testing.T) {
	h := open(t, 0, twoRecords()...)
	var asked atomic.Int64
	h.ehr.MisbehaveWhen(ehr.RawBinary, func(*http.Request) bool { asked.Add(1); return true })
	cost := func(path, token string, want int, headers ...string) int64 {
		before := asked.Load()
		if r := h.get(path, token, headers...); r.status != want || want == 404 && strings.Contains(r.body, "hers") {
			t.Errorf("%s %s %v: %d %s", path, token, headers, r.status, r.body)
		}
		return asked.Load() - before
	}
	for _, headers := range [][]string{nil, {"Accept", "text/plain"}} {
		cost("/Binary/none", alice, 404, headers...)
		if a, b := cost("/Binary/bin-"+mark, alice, 404, headers...), cost("/Binary/none", alice, 404, headers...); a != b {
			t.Errorf("%v: a foreign one costs %d, a missing one %d", headers, a, b)
		}
		cost("/Binary/bin-alice", "alice:patient/Binary.r?_lastUpdated=lt2000+patient/DocumentReference.rs", 404, headers...)
		cost("/Binary/bin-alice", alice, 200, headers...)
		cost("/Binary/bin-alice", "alice:patient/Binary.r?_lastUpdated=lt2000+patient/DocumentReference.rs", 404, headers...)
	}
}

// What may be read today by what somebody else wrote, an app must not keep for
// itself by what it writes: the mistake is corrected, or the document labelled.
func TestNobodyKeepsAWayToAFileByWriting(t *testing.T) {
	var later atomic.Int64
	h := openWith(t, 0, func(o *gateway.Options) {
		o.Sources[0].Write = everyWrite()
		o.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	}, append(twoRecords(),
		`{"resourceType":"Binary","id":"scan","contentType":"text/plain","data":"Ym9ic2VjcmV0"}`,
		`{"resourceType":"DocumentReference","id":"mistaken","subject":{"reference":"Patient/alice"},"author":[{"reference":"Practitioner/dr"}],"content":[{"attachment":{"url":"Binary/scan"}}]}`)...)
	if r := h.get("/Binary/scan", writer); r.status != 200 {
		t.Fatalf("%d", r.status)
	}
	for _, body := range []string{
		`{"resourceType":"DiagnosticReport","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/alice"},"presentedForm":[{"url":"Binary/scan"}]}`,
		`{"resourceType":"DiagnosticReport","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/alice"},"result":[{"reference":"Binary/scan"}]}`,
		`{"resourceType":"DiagnosticReport","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/alice"},"extension":[{"url":"http://x.example/e","valueAttachment":{"url":"` + h.base + `/Binary/scan"}}]}`,
	} {
		if r := h.create("DiagnosticReport", body); r.status != 422 {
			t.Errorf("%d %s", r.status, body)
		}
	}
	h.at("PUT", "DocumentReference/mistaken", `{"resourceType":"DocumentReference","id":"mistaken","subject":{"reference":"Patient/`+bobID+`"},"content":[{"attachment":{"url":"Binary/scan"}}]}`)
	later.Store(int64(20 * time.Minute)) // what led there is forgotten
	if r := h.get("/Binary/scan", writer); r.status != 404 {
		t.Errorf("still there: %d %s", r.status, r.body)
	}
}
