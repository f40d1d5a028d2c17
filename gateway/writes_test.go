package gateway_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/fault"
)

func (h *house) create(typ, body string, headers ...string) reply {
	h.t.Helper()
	return h.send("POST", "/"+typ, writer, body, append([]string{"Content-Type", fhirBody}, headers...)...)
}

var idOf = regexp.MustCompile(`"id":"([^"]+)"`)

func TestCreateSetsWhatIsTheServersAndGivesItBack(t *testing.T) {
	h, rec := openWriting(t)
	r := h.create("Observation", obs(`,"id":"chosen","meta":{"versionId":"99","lastUpdated":"1999-01-01T00:00:00Z","source":"urn:me","security":[{"code":"N"}],"tag":[{"code":"x"}],"profile":["http://x.example/p"]},"valueQuantity":{"value":72.50}`))
	if r.status != http.StatusCreated {
		t.Fatalf("%d %s", r.status, r.body)
	}
	sent := rec.take()
	want := `POST Observation {"resourceType":"Observation","status":"final","code":{"text":"weight"},"subject":{"reference":"Patient/alice"},"meta":{"profile":["http://x.example/p"]},"valueQuantity":{"value":72.50},"performer":[{"reference":"Patient/alice"}]}`
	if sent[0] != want {
		t.Errorf("sent\n%s\nwant\n%s", sent[0], want)
	}
	id := idOf.FindStringSubmatch(r.body)[1]
	if got := r.header.Get("Location"); got != h.base+"/Observation/"+id+"/_history/1" || r.header.Get("ETag") != `W/"1"` || r.header.Get("Last-Modified") == "" || id == "chosen" {
		t.Errorf("%q %v", got, r.header)
	}
	if again := h.get("/Observation/"+id, writer); again.body != r.body || !strings.Contains(r.body, "72.50") {
		t.Errorf("read %s\ncreate %s", again.body, r.body)
	}
	// Who did it, with what.
	prov := sent[1]
	for _, part := range []string{`POST Provenance {`, `"target":[{"reference":"Observation/` + id + `/_history/1"}]`, `"who":{"reference":"Patient/alice"}`, `"value":"app-alice"`, `"code":"CREATE"`, `"recorded":"`} {
		if !strings.Contains(prov, part) {
			t.Errorf("no %s in %s", part, prov)
		}
	}
	events := h.sink.take()[:2]
	if events[0].Outcome != "begun" || events[1].Outcome != "released" || events[1].Status != 201 || events[1].ResourceID != id || events[1].Interaction != "create" || events[0].RequestID != events[1].RequestID {
		t.Errorf("recorded %+v", events)
	}
	if r := h.get("/Observation?_id="+id+"&_revinclude=Provenance:target", writer); !strings.Contains(r.body, `"Provenance"`) {
		t.Errorf("the Provenance is not found: %s", r.body)
	}
}

func TestWhoeverActsForThePatientIsTheAuthor(t *testing.T) {
	h, rec := openWriting(t, `{"resourceType":"RelatedPerson","id":"mum","patient":{"reference":"Patient/alice"}}`)
	const mum = "alice~RelatedPerson/mum:patient/*.cruds"
	for body, author := range map[string]string{
		obs(""): `"performer":[{"reference":"RelatedPerson/mum"}]`,
		obs(`,"performer":[{"reference":"RelatedPerson/mum"}]`):      `"performer":[{"reference":"RelatedPerson/mum"}]`,
		obs(`,"performer":[{"reference":"BASE/Patient/alice"}]`):     `"performer":[{"reference":"Patient/alice"}]`,
		obs(`,"performer":[{"reference":"BASE/RelatedPerson/mum"}]`): `"performer":[{"reference":"RelatedPerson/mum"}]`,
	} {
		rec.take()
		r := h.send("POST", "/Observation", mum, strings.ReplaceAll(body, "BASE", h.base), "Content-Type", fhirBody)
		sent := rec.take()
		if r.status != 201 || !strings.Contains(sent[0], author) || !strings.Contains(sent[1], `"onBehalfOf":{"reference":"Patient/alice"}`) || !strings.Contains(sent[1], `"who":{"reference":"RelatedPerson/mum"}`) {
			t.Errorf("%d %s %s", r.status, r.body, sent)
		}
	}
	// Somebody who is a patient too is nobody's author in another's record.
	r := h.send("POST", "/Observation", "alice~Patient/"+bobID+":patient/*.cruds", obs(""), "Content-Type", fhirBody)
	if sent := rec.take(); r.status != 201 || strings.Contains(sent[0], bobID) || strings.Contains(sent[0], "performer") {
		t.Errorf("%d %s", r.status, sent)
	}
	if strings.Contains(r.everything(), mark) {
		t.Errorf("names the one who acts: %s", r.body)
	}
}

func TestUpdateKeepsLabelsAndLosesNoUpdate(t *testing.T) {
	h, rec := openWriting(t, hers)
	body := `{"resourceType":"Observation","id":"hers","meta":{"security":[],"tag":[],"profile":["http://x.example/p"]},"status":"amended","code":{"text":"x"},"subject":{"reference":"` + h.base + `/Patient/alice"},"performer":[{"reference":"Patient/alice"}]}`
	r := h.send("PUT", "/Observation/hers", writer, body, "Content-Type", fhirBody, "If-Match", `W/"7"`)
	want := `PUT Observation/hers W/"7" {"resourceType":"Observation","id":"hers","meta":{"profile":["http://x.example/p"],"security":[{"code":"R"}],"tag":[{"code":"t"}],"source":"urn:s"},"status":"amended","code":{"text":"x"},"subject":{"reference":"Patient/alice"},"performer":[{"reference":"Patient/alice"}]}`
	if sent := rec.take(); r.status != 200 || len(sent) != 2 || sent[0] != want || r.header.Get("ETag") != `W/"8"` || r.header.Get("Location") != "" {
		t.Errorf("%d %v\n%s\n%s", r.status, r.header, sent, want)
	}
	if r := h.send("PUT", "/Observation/hers", writer, body, "Content-Type", fhirBody, "If-Match", `W/"7"`); r.status != 412 {
		t.Errorf("the second one: %d", r.status)
	}
}

func TestOfTwoUpdatesOfOneVersionOneWins(t *testing.T) {
	h, _ := openWriting(t, hers)
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for i := range 12 {
		wg.Go(func() {
			body := strings.Replace(obs(fmt.Sprintf(`,"note":[{"text":"n%d"}]`, i)), `{`, `{"id":"hers",`, 1)
			r := h.send("PUT", "/Observation/hers", writer, body, "Content-Type", fhirBody, "If-Match", `W/"7"`)
			mu.Lock()
			defer mu.Unlock()
			statuses[r.status]++
		})
	}
	wg.Wait()
	if statuses[200] != 1 || statuses[412] != 11 {
		t.Errorf("%v", statuses)
	}
}

func TestPatchLeavesWhatItDoesNotName(t *testing.T) {
	h, rec := openWriting(t, hers)
	r := h.send("PATCH", "/Observation/hers", writer, `[{"op":"test","path":"/valueQuantity/value","value":1.5},{"op":"replace","path":"/status","value":"amended"},{"op":"add","path":"/performer","value":[{"reference":"Patient/alice"}]},{"op":"replace","path":"/meta/security","value":[]}]`, "Content-Type", patching, "If-Match", `W/"7"`)
	want := `PUT Observation/hers W/"7" {"resourceType":"Observation","id":"hers","meta":{"security":[{"code":"R"}],"tag":[{"code":"t"}],"source":"urn:s"},"status":"amended","code":{"text":"x"},"subject":{"reference":"Patient/alice"},"valueQuantity":{"value":1.50},"performer":[{"reference":"Patient/alice"}]}`
	if sent := rec.take(); r.status != 200 || sent[0] != want {
		t.Errorf("%d %s\n%s\n%s", r.status, r.body, sent, want)
	}
}

// What the EHR wrote may hold what an app could not: it goes back as it was.
func TestPatchGivesTheEHRItsOwnAddressesBack(t *testing.T) {
	h, rec := openWriting(t)
	origin := h.origin
	raw := `{"resourceType":"DocumentReference","id":"doc","meta":{"versionId":"3"},"status":"current","subject":{"reference":"` + origin + `/fhir/Patient/alice"},"content":[{"attachment":{"url":"` + origin + `/fhir/Binary/bin-alice"}},{"attachment":{"url":"https://files.hospital.example/scan.pdf"}}]}`
	if err := h.ehr.Load([]byte(raw)); err != nil {
		t.Fatal(err)
	}
	r := h.send("PATCH", "/DocumentReference/doc", writer, `[{"op":"replace","path":"/status","value":"superseded"}]`, "Content-Type", patching, "If-Match", `W/"3"`)
	want := strings.Replace(strings.Replace(raw, `"current"`, `"superseded"`, 1), `,"meta":{"versionId":"3"}`, "", 1)
	sent := rec.take()
	if r.status != 200 || !strings.HasPrefix(sent[0], `PUT DocumentReference/doc W/"3" `+strings.TrimSuffix(want, "}")) {
		t.Errorf("%d %s\n%s\n%s", r.status, r.body, sent, want)
	}
	if strings.Contains(r.everything(), strings.TrimPrefix(origin, "http://")) {
		t.Errorf("the EHR's address: %s", r.everything())
	}
}

func TestDeleteTakesAwayOneVersion(t *testing.T) {
	h, rec := openWriting(t, hers)
	r := h.send("DELETE", "/Observation/hers", writer, "", "If-Match", `W/"7"`)
	if sent := rec.take(); r.status != 204 || r.body != "" || sent[0] != `DELETE Observation/hers W/"7"` {
		t.Errorf("%d %s %s", r.status, r.body, sent)
	}
	if r := h.get("/Observation/hers", writer); r.status != 404 {
		t.Errorf("it is there: %d", r.status)
	}
	if r := h.send("DELETE", "/Observation/hers", writer, "", "If-Match", `W/"7"`); r.status != 404 {
		t.Errorf("a second time: %d", r.status)
	}
}

func TestPreferDecidesWhatComesBack(t *testing.T) {
	h, _ := openWriting(t)
	if r := h.create("Observation", obs(""), "Prefer", "return=minimal"); r.status != 201 || r.body != "" || r.header.Get("Location") == "" {
		t.Errorf("minimal: %d %s", r.status, r.body)
	}
	if r := h.create("Observation", obs(""), "Prefer", "return=OperationOutcome"); r.status != 201 || !strings.Contains(r.body, `"informational"`) {
		t.Errorf("outcome: %d %s", r.status, r.body)
	}
	if r := h.create("Observation", obs(""), "Prefer", "handling=strict; return=representation"); r.status != 201 || !strings.Contains(r.body, `"weight"`) {
		t.Errorf("representation: %d %s", r.status, r.body)
	}
	// A token that may not read gets nothing to read.
	r := h.send("POST", "/Observation", "alice:patient/Observation.c", obs(""), "Content-Type", fhirBody, "Prefer", "return=representation")
	if r.status != 201 || r.body != "" {
		t.Errorf("without a scope to read: %d %s", r.status, r.body)
	}
}

func TestConditionalCreateFindsInTheOwnRecordOnly(t *testing.T) {
	h, rec := openWriting(t)
	id := `,"identifier":[{"system":"urn:x","value":"VALUE"}]`
	// Bob has such a one: it is nobody's business.
	r := h.create("Observation", obs(strings.Replace(id, "VALUE", secret, 1)), "If-None-Exist", "identifier=urn:x|"+secret)
	if sent := rec.take(); r.status != 201 || len(sent) != 2 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	again := h.create("Observation", obs(strings.Replace(id, "VALUE", secret, 1)), "If-None-Exist", "identifier=urn:x|"+secret)
	if sent := rec.take(); again.status != 200 || again.body != "" || again.header.Get("Location") != r.header.Get("Location") || len(sent) != 0 {
		t.Errorf("%d %s %v", again.status, again.body, again.header)
	}
	again = h.create("Observation", obs(""), "If-None-Exist", "identifier=urn:x|"+secret, "Prefer", "return=representation")
	if again.status != 200 || again.body != r.body {
		t.Errorf("%d %s", again.status, again.body)
	}
	events := h.sink.take()
	if last := events[len(events)-1]; last.Status != 200 || last.Outcome != "released" {
		t.Errorf("%+v", last)
	}
}

func TestNothingIsWrittenThatIsNotRecordedFirst(t *testing.T) {
	h, rec := openWriting(t, hers)
	h.sink.broken = true
	for _, r := range []reply{
		h.create("Observation", obs("")),
		h.send("DELETE", "/Observation/hers", writer, "", "If-Match", `W/"7"`),
	} {
		if sent := rec.take(); r.status != 503 || len(sent) != 0 {
			t.Errorf("%d %s", r.status, sent)
		}
	}
	h.sink.broken, h.sink.breakAfter = false, 2 // the intent is kept, the outcome is not
	r := h.create("Observation", obs(""))
	if sent := rec.take(); r.status != 503 || len(sent) == 0 || strings.Contains(r.body, "weight") || !strings.Contains(r.body, "was made") {
		t.Errorf("%d %s %s", r.status, r.body, sent)
	}
}

func TestAProvenanceThatFailsIsRecordedAndTheChangeStands(t *testing.T) {
	h, rec := openWriting(t)
	rec.fail = errors.New("no room")
	if r := h.create("Observation", obs("")); r.status != 201 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	events := h.sink.take()
	if len(events) != 3 || events[1].Interaction != "provenance" || events[1].Outcome != "failed" || events[2].Interaction != "create" || events[2].Outcome != "released" {
		t.Errorf("%+v", events)
	}
}

// The EHR fails in every way while it is asked to change something: the app
// learns nothing of it, is never told of a success that was none, and can read
// in the audit's last word that it was no success.
func TestAnEHRThatFailsWhileItWrites(t *testing.T) {
	for _, mode := range []ehr.Mode{ehr.HTMLError, ehr.LoginPage, ehr.StackTrace, ehr.RedirectElsewhere, ehr.Truncate, ehr.WrongLength, ehr.DropMidBody, ehr.Drop, ehr.WrongType, ehr.ElsewhereURLs, ehr.AbsoluteURLs, ehr.BadUTF8, ehr.DuplicateKeys} {
		t.Run(fmt.Sprintf("mode %b", mode), func(t *testing.T) {
			h, _ := openWriting(t, hers)
			h.ehr.MisbehaveWhen(mode, func(r *http.Request) bool { return r.Method == http.MethodPost || r.Method == http.MethodPut })
			for _, change := range []func() reply{
				func() reply { return h.create("Observation", obs("")) },
				func() reply {
					return h.send("PUT", "/Observation/hers", writer, strings.Replace(obs(""), `{`, `{"id":"hers",`, 1), "Content-Type", fhirBody, "If-Match", `W/"7"`)
				},
			} {
				r := change()
				events := h.sink.take()
				last := events[len(events)-1]
				if what := betrays(h, mode, r); what != "" || r.err != nil {
					t.Errorf("%d %s (%s, %v)", r.status, r.body, what, r.err)
				}
				if (r.status < 300) != (last.Outcome == "released") || last.Status != r.status {
					t.Errorf("answered %d, recorded %+v", r.status, last)
				}
				if strings.Contains(r.body, "stack") || strings.Contains(r.body, "<html") {
					t.Errorf("the EHR's words: %s", r.body)
				}
				if mode == ehr.LoginPage && r.status < 300 {
					t.Errorf("a page of HTML was taken for a success: %d %s", r.status, r.body)
				}
			}
		})
	}
}

// Only what may have been made has to be looked for.
func TestAChangeThatNeverLeftIsNotInDoubt(t *testing.T) {
	for doubt, err := range map[bool]error{
		false: &fault.Error{Kind: fault.Unavailable, Public: "The record system cannot be reached.", Err: upstream.ErrUnsent, RetryAfter: 7 * time.Second},
		true:  fault.New(fault.Unavailable, "The record system cannot be reached."),
	} {
		h, rec := openWriting(t)
		rec.away = err
		r := h.create("Observation", obs(""))
		if r.status != 503 || strings.Contains(r.body, "did not say whether it made the change") != doubt || strings.Contains(r.body, "Nothing was changed.") == doubt {
			t.Errorf("in doubt %v: %d %s", doubt, r.status, r.body)
		}
	}
}

func TestABatchWritesEntryByEntryThroughTheSamePath(t *testing.T) {
	h, rec := openWriting(t, hers)
	batch := func(entries ...string) reply {
		return h.send("POST", "", writer, `{"resourceType":"Bundle","type":"batch","entry":[`+strings.Join(entries, ",")+`]}`, "Content-Type", fhirBody)
	}
	r := batch(
		`{"fullUrl":"urn:uuid:1","resource":`+obs("")+`,"request":{"method":"POST","url":"Observation"}}`,
		`{"resource":`+strings.Replace(obs(""), "alice", bobID, 1)+`,"request":{"method":"POST","url":"Observation"}}`,
		`{"resource":`+obs(`,"hasMember":[{"reference":"urn:uuid:1"}]`)+`,"request":{"method":"POST","url":"Observation"}}`,
		`{"resource":`+strings.Replace(obs(""), `{`, `{"id":"hers",`, 1)+`,"request":{"method":"PUT","url":"Observation/hers","ifMatch":"W/\"6\""}}`,
		`{"resource":`+strings.Replace(obs(""), `{`, `{"id":"hers",`, 1)+`,"request":{"method":"PUT","url":"`+h.base+`/Observation/hers","ifMatch":"W/\"7\""}}`,
		`{"request":{"method":"DELETE","url":"Observation/observation-`+bobID+`","ifMatch":"W/\"1\""}}`,
		`{"request":{"method":"DELETE","url":"Observation?status=final"}}`,
		`{"resource":{"resourceType":"Binary"},"request":{"method":"PATCH","url":"Observation/hers"}}`,
		`{"resource":`+obs("")+`,"request":{"method":"POST","url":"Observation","ifNoneExist":"_id=hers"}}`,
		`{"resource":{"resourceType":"Bundle","type":"batch","entry":[]},"request":{"method":"POST","url":""}}`,
		`{"resource":`+obs("")+`,"request":{"method":"POST","url":"Observation/_search"}}`,
		`{"request":{"method":"POST","url":"Observation"}}`,
		`{"resource":`+obs("")+`,"request":{"method":"POST","url":"https://elsewhere.example/fhir/Observation"}}`,
	)
	var got []string
	for _, m := range regexp.MustCompile(`"status":"(\d+) `).FindAllStringSubmatch(r.body, -1) {
		got = append(got, m[1])
	}
	if want := "201 422 422 412 200 404 405 405 200 405 405 400 400"; strings.Join(got, " ") != want {
		t.Errorf("got %s\nwant %s\n%s", strings.Join(got, " "), want, r.body)
	}
	if !strings.Contains(r.body, `"location":"`+h.base+`/Observation/`) {
		t.Errorf("no location: %s", r.body)
	}
	sent := strings.Join(rec.take(), "\n")
	if strings.Contains(sent, mark) || strings.Contains(r.body, mark) || strings.Count(sent, "POST Observation") != 1 {
		t.Errorf("sent %s", sent)
	}
	if r := h.send("POST", "", writer, `{"resourceType":"Bundle","type":"transaction","entry":[{"resource":`+obs("")+`,"request":{"method":"POST","url":"Observation"}}]}`, "Content-Type", fhirBody); r.status != 400 {
		t.Errorf("transaction: %d", r.status)
	}
}

func TestGranularWriteScopesHoldForWhatIsThereAndWhatIsToBe(t *testing.T) {
	h, rec := openWriting(t, hers)
	const amended = "alice:patient/Observation.rs+patient/Observation.cu?status=amended+patient/Observation.cu?status=final"
	ok := strings.Replace(obs(""), "final", "amended", 1)
	if r := h.send("POST", "/Observation", amended, ok, "Content-Type", fhirBody); r.status != 201 {
		t.Errorf("within: %d %s", r.status, r.body)
	}
	if r := h.send("PUT", "/Observation/hers", amended, strings.Replace(ok, `{`, `{"id":"hers",`, 1), "Content-Type", fhirBody, "If-Match", `W/"7"`); r.status != 200 {
		t.Errorf("within: %d %s", r.status, r.body)
	}
	rec.take()
	if r := h.send("PUT", "/Observation/hers", amended, strings.Replace(strings.Replace(ok, "amended", "cancelled", 1), `{`, `{"id":"hers",`, 1), "Content-Type", fhirBody, "If-Match", `W/"8"`); r.status != 403 || len(rec.take()) != 0 {
		t.Errorf("out of it: %d %s", r.status, r.body)
	}
}

// A type that several see may be written where it names nobody else.
func TestABookingAsksOthersAndAnswersForNobody(t *testing.T) {
	h, rec := openWriting(t)
	body := `{"resourceType":"Appointment","status":"proposed","participant":[{"actor":{"reference":"Patient/alice"},"status":"accepted"},{"actor":{"reference":"Practitioner/dr"},"status":"needs-action"}]}`
	if r := h.create("Appointment", body); r.status != 201 || len(rec.take()) == 0 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestAPolicyOfOneInteractionIsThatOne(t *testing.T) {
	h := openWith(t, 0, func(o *gateway.Options) {
		o.Sources[0].Write = map[string][]guard.Interaction{"Observation": {guard.Create}}
	}, append(twoRecords(), hers)...)
	if r := h.create("Observation", obs("")); r.status != 201 {
		t.Errorf("create: %d %s", r.status, r.body)
	}
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		if r := h.send(method, "/Observation/hers", writer, "", "If-Match", `W/"7"`); r.status != 405 {
			t.Errorf("%s: %d", method, r.status)
		}
	}
}

// An app that has read a document a day ago may send back what it saw; it may not
// point another document there.
func TestALinkToAFileGoesBackAsItCame(t *testing.T) {
	now := time.Now().Add(-25 * time.Hour)
	h := openWith(t, 0, func(o *gateway.Options) {
		o.Now = func() time.Time { return now }
		o.Sources[0].Write = everyWrite()
	}, append(twoRecords(), `{"resourceType":"DocumentReference","id":"doc","meta":{"versionId":"3"},"status":"current","subject":{"reference":"Patient/alice"},"content":[{"attachment":{"contentType":"text/plain","url":"Binary/bin-alice"}}]}`)...)
	seen := h.get("/DocumentReference/doc", writer)
	link := regexp.MustCompile(`"url":"([^"]+)"`).FindStringSubmatch(seen.body)[1]
	if !strings.HasPrefix(link, h.base) {
		t.Fatalf("no link of ours: %s", seen.body)
	}
	now = time.Now()
	if r := h.create("DocumentReference", strings.Replace(seen.body, `"id":"doc",`, "", 1)); r.status != 422 {
		t.Errorf("another document points to the file: %d %s", r.status, r.body)
	}
	r := h.send("PUT", "/DocumentReference/doc", writer, strings.Replace(seen.body, `"current"`, `"superseded"`, 1), "Content-Type", fhirBody, "If-Match", `W/"3"`)
	stored := h.stored("DocumentReference/doc")
	if r.status != 200 || !strings.Contains(stored, `"url":"Binary/bin-alice"`) || !strings.Contains(stored, "superseded") {
		t.Errorf("%d %s\n%s", r.status, r.body, stored)
	}
}

// stored is a resource as the EHR has it.
func (h *house) stored(at string) string {
	h.t.Helper()
	return h.get(h.origin+"/fhir/"+at, "").body
}
