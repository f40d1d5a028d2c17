package gateway_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/internal/demo/ehr"
)

var attachmentURL = regexp.MustCompile(`"url":"([^"]*)"`)

// urlsIn gives the URLs of the attachments in a body, in order.
func urlsIn(body string) []string {
	var out []string
	for _, m := range attachmentURL.FindAllStringSubmatch(body, -1) {
		out = append(out, m[1])
	}
	return out
}

// files is a house whose patients have files: as Binary, and below the base
// without speaking FHIR.
func files(t *testing.T) *house {
	t.Helper()
	h := open(t, 0, twoRecords()...)
	h.load(
		`{"resourceType":"Binary","id":"page","contentType":"text/html","data":"PHA+aGVyczwvcD4="}`,
		`{"resourceType":"Binary","id":"long","contentType":"text/plain; charset=utf-8","data":"MDEyMzQ1Njc4OQ=="}`,
		`{"resourceType":"DocumentReference","id":"long","subject":{"reference":"Patient/alice"},"content":[{"attachment":{"contentType":"text/plain","url":"BASE/documents/long.txt"}}]}`,
		`{"resourceType":"DocumentReference","id":"long2","subject":{"reference":"Patient/alice"},"content":[{"attachment":{"url":"Binary/long"}}]}`,
		`{"resourceType":"DiagnosticReport","id":"long","subject":{"reference":"Patient/alice"},"presentedForm":[{"contentType":"text/plain","title":"x","url":"documents/long.txt"},{"url":"BASE/Binary/long"}]}`,
		`{"resourceType":"DocumentReference","id":"page","subject":{"reference":"Patient/alice"},"content":[{"attachment":{"contentType":"text/html","url":"Binary/page"}}]}`,
	)
	return h
}

// load adds resources; BASE stands for the EHR's base.
func (h *house) load(resources ...string) {
	h.t.Helper()
	for _, raw := range resources {
		if err := h.ehr.Load([]byte(strings.ReplaceAll(raw, "BASE", h.origin+"/fhir"))); err != nil {
			h.t.Fatal(err)
		}
	}
}

// handle reads a resource and gives the URL of its only attachment.
func (h *house) handle(path, bearer string) string {
	h.t.Helper()
	r := h.get(path, bearer)
	if urls := urlsIn(r.body); r.status == http.StatusOK && len(urls) == 1 {
		return urls[0]
	}
	h.t.Fatalf("%s: %d %s", path, r.status, r.body)
	return ""
}

func TestAHandleOpensForNobodyElse(t *testing.T) {
	h := files(t)
	handle := h.handle("/DocumentReference/long", alice)
	if r := h.get(handle, alice); r.status != http.StatusOK || r.body != "0123456789" {
		t.Fatalf("the handle itself: %d %s", r.status, r.body)
	}
	missing := h.get("/Binary/_AAAA", alice)
	if missing.status != http.StatusNotFound {
		t.Fatalf("%d", missing.status)
	}
	last := handle[len(handle)-1:]
	other := map[string]string{"A": "Q"}[last]
	if other == "" {
		other = "A"
	}
	for name, tt := range map[string]struct{ url, bearer string }{
		"another patient":                             {handle, bobID + ":patient/*.rs"},
		"the patient of the same name elsewhere":      {strings.Replace(handle, "/ehr/", "/elsewhere/", 1), "elsewhere/alice:patient/*.rs"},
		"a letter changed at the end":                 {handle[:len(handle)-1] + other, alice},
		"a letter changed in the middle":              {handle[:len(handle)-30] + "-" + handle[len(handle)-29:], alice},
		"cut":                                         {handle[:len(handle)-4], alice},
		"two handles":                                 {handle + handle[strings.LastIndex(handle, "_"):], alice},
		"no handle":                                   {h.base + "/Binary/_", alice},
		"a scope for something else":                  {handle, "alice:patient/Observation.rs+patient/Patient.rs"},
		"a scope for Binary alone":                    {handle, "alice:patient/Binary.rs"},
		"a scope for other documents":                 {handle, "alice:patient/DocumentReference.rs?category=http://x|y"},
		"a scope to make what led there":              {handle, "alice:patient/DocumentReference.c+patient/DiagnosticReport.cud"},
		"the name of the file in place of a handle":   {h.base + "/documents/long.txt", alice},
		"the handle under another type":               {strings.Replace(handle, "/Binary/", "/Media/", 1), alice},
		"a handle with a version":                     {handle + "/_history/1", alice},
		"the file of somebody else by its id":         {h.base + "/Binary/bin-" + mark, alice},
		"the file of somebody else, a colon in front": {h.base + "/Binary/_bin-" + mark, alice},
	} {
		t.Run(name, func(t *testing.T) {
			for _, accept := range []string{"*/*", "text/plain", "application/fhir+json"} {
				r := h.get(tt.url, tt.bearer, "Accept", accept)
				if r.status < 400 || strings.Contains(r.body, "01234") || strings.Contains(r.everything(), mark) {
					t.Errorf("Accept %q: %d %s", accept, r.status, r.body)
				}
				if strings.Contains(tt.url, "/Binary/_") && strings.Count(tt.url, "/Binary/_")+strings.Count(tt.url, "_") == 2 && !strings.Contains(tt.url, "elsewhere") && (r.status != missing.status || r.body != missing.body) {
					t.Errorf("Accept %q: it differs from a missing one: %d %s", accept, r.status, r.body)
				}
			}
		})
	}
	if r := h.get(handle, ""); r.status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", r.status)
	}
	if r := h.send(http.MethodPost, handle, alice, "x=y"); r.status != http.StatusMethodNotAllowed {
		t.Errorf("by POST: %d", r.status)
	}
}

func TestWhatAPatientMayHaveWrittenLeadsToNoFile(t *testing.T) {
	words := map[string]string{
		"an answer":                   `{"resourceType":"QuestionnaireResponse","id":"w","subject":{"reference":"Patient/alice"},"item":[{"answer":[{"valueAttachment":{"url":"%s"}}]}]}`,
		"a message":                   `{"resourceType":"Communication","id":"w","subject":{"reference":"Patient/alice"},"sender":{"reference":"Patient/alice"},"payload":[{"contentAttachment":{"url":"%s"}}]}`,
		"a message of nobody's":       `{"resourceType":"Communication","id":"w","subject":{"reference":"Patient/alice"},"payload":[{"contentAttachment":{"url":"%s"}}]}`,
		"a message of a relative":     `{"resourceType":"Communication","id":"w","subject":{"reference":"Patient/alice"},"sender":{"reference":"RelatedPerson/mum"},"payload":[{"contentAttachment":{"url":"%s"}}]}`,
		"an own document":             `{"resourceType":"DocumentReference","id":"w","subject":{"reference":"Patient/alice"},"author":[{"reference":"Practitioner/dr"},{"reference":"Patient/alice"}],"content":[{"attachment":{"url":"%s"}}]}`,
		"an own document, whole URL":  `{"resourceType":"DocumentReference","id":"w","subject":{"reference":"Patient/alice"},"author":[{"reference":"BASE/Patient/alice/_history/1"}],"content":[{"attachment":{"url":"%s"}}]}`,
		"an own document, by type":    `{"resourceType":"DocumentReference","id":"w","subject":{"reference":"Patient/alice"},"author":[{"type":"Patient","identifier":{"value":"1"}}],"content":[{"attachment":{"url":"%s"}}]}`,
		"an own document, contained":  `{"resourceType":"DocumentReference","id":"w","contained":[{"resourceType":"RelatedPerson","id":"a","patient":{"reference":"Patient/alice"}}],"subject":{"reference":"Patient/alice"},"author":[{"reference":"#a"}],"content":[{"attachment":{"url":"%s"}}]}`,
		"an own picture":              `{"resourceType":"Media","id":"w","subject":{"reference":"Patient/alice"},"operator":{"reference":"Patient/alice"},"content":{"url":"%s"}}`,
		"a photo of oneself":          `{"resourceType":"Patient","id":"alice","photo":[{"url":"%s"}]}`,
		"an observation's extension":  `{"resourceType":"Observation","id":"w","subject":{"reference":"Patient/alice"},"extension":[{"url":"urn:x","valueAttachment":{"url":"%s"}}]}`,
		"what everybody may see":      `{"resourceType":"Practitioner","id":"w","photo":[{"url":"%s"}]}`,
		"a scan of a consent":         `{"resourceType":"Consent","id":"w","patient":{"reference":"Patient/alice"},"sourceAttachment":{"url":"%s"}}`,
		"a document of somebody else": `{"resourceType":"DocumentReference","id":"w","subject":{"reference":"Patient/` + bobID + `"},"content":[{"attachment":{"url":"%s"}}]}`,
	}
	for name, resource := range words {
		for _, target := range []string{"Binary/bin-" + mark, "BASE/Binary/bin-" + mark, "documents/bin-" + mark + ".txt", "BASE/documents/bin-" + mark + ".txt"} {
			t.Run(name+" "+target, func(t *testing.T) {
				h := open(t, 0, twoRecords()...)
				typ, _, _ := strings.Cut(strings.TrimPrefix(resource, `{"resourceType":"`), `"`)
				h.load(fmt.Sprintf(resource, target))
				h.get("/"+typ, alice) // so that it is seen
				for _, u := range urlsIn(h.get("/"+typ+"/w", alice).body + h.get("/"+typ, alice).body) {
					if !strings.Contains(u, "/Binary/_") && !strings.Contains(u, mark) {
						continue
					}
					if strings.Contains(u, mark) {
						t.Fatalf("the EHR's URL leaves: %s", u)
					}
					for _, accept := range []string{"*/*", "application/fhir+json"} {
						if r := h.get(u, alice, "Accept", accept); strings.Contains(r.body, secret) || strings.Contains(r.body, "Ym9ic2VjcmV0") || r.status < 400 && !strings.Contains(r.body, "hers") && !strings.Contains(r.body, "bin-alice") {
							t.Errorf("%d %s", r.status, r.body)
						}
					}
				}
				for _, accept := range []string{"*/*", "text/plain"} {
					if r := h.get("/Binary/bin-"+mark, alice, "Accept", accept); r.status != http.StatusNotFound {
						t.Errorf("by id: %d", r.status)
					}
				}
			})
		}
	}
}

func TestTheSameFileHasTheSameURLAndOpensEverywhere(t *testing.T) {
	h := files(t)
	report := urlsIn(h.get("/DiagnosticReport/long", alice).body)
	file, binary := h.handle("/DocumentReference/long", alice), h.handle("/DocumentReference/long2", alice)
	if len(report) != 2 || report[0] != file || report[1] != binary || file == binary {
		t.Errorf("%q, %q, %q", report, file, binary)
	}
	if again := h.handle("/DocumentReference/long", "alice@other:patient/*.rs"); again != file {
		t.Error("another app gets another URL")
	}
	for _, u := range []string{file, binary} {
		if strings.Contains(u, "long") || !strings.HasPrefix(u, h.base+"/Binary/_") {
			t.Errorf("%s", u)
		}
		r := h.get(u, alice)
		if r.status != http.StatusOK || r.body != "0123456789" || !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") {
			t.Errorf("%d %s %s", r.status, r.header, r.body)
		}
	}
	if r := h.get(file, "alice:patient/DiagnosticReport.rs"); r.status != http.StatusOK {
		t.Errorf("with the scope for what led there alone: %d", r.status)
	}
}

func TestAFileAsFHIRAndAsItIs(t *testing.T) {
	for _, mode := range []ehr.Mode{0, ehr.RawBinary, ehr.AbsoluteURLs} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			h := files(t)
			h.ehr.Misbehave(mode)
			handle := h.handle("/DocumentReference/long2", alice)
			for _, tt := range []struct {
				url, accept string
				status      int
				raw         bool
			}{
				{handle, "*/*", 200, true},
				{handle, "text/plain", 200, true},
				{handle, "text/*, application/fhir+json;q=0.5", 200, true},
				{handle, "application/fhir+json", 200, false},
				{handle, "application/pdf", 406, false},
				{handle + "?_format=json", "text/plain", 200, false},
				{handle + "?_format=xml", "*/*", 406, false},
				{handle + "?_id=x", "*/*", 400, false},
				{"/Binary/long", "*/*", 200, false},
				{"/Binary/long", "application/json", 200, false},
				{"/Binary/long", "text/plain", 200, true},
				{"/Binary/long", "application/fhir+xml", 406, false},
				{"/Binary/long", "image/png", 406, false},
				{h.handle("/DocumentReference/long", alice), "application/fhir+json", 406, false},
			} {
				r := h.get(tt.url, alice, "Accept", tt.accept)
				if r.status != tt.status || tt.status == 200 && tt.raw != (r.body == "0123456789") {
					t.Errorf("%s %q: %d %s", tt.url, tt.accept, r.status, r.body)
				}
				if tt.status == 200 && !tt.raw && (!strings.Contains(r.body, `"resourceType":"Binary"`) || !strings.Contains(r.body, `"MDEyMzQ1Njc4OQ=="`)) {
					t.Errorf("%s %q: %s", tt.url, tt.accept, r.body)
				}
			}
		})
	}
}

func TestPartsOfAFile(t *testing.T) {
	for _, path := range []string{"/DocumentReference/long", "/DocumentReference/long2"} {
		for _, mode := range []ehr.Mode{0, ehr.RawBinary} {
			h := files(t)
			h.ehr.Misbehave(mode)
			handle := h.handle(path, alice)
			whole := h.get(handle, alice)
			etag := whole.header.Get("ETag")
			for _, tt := range []struct {
				header []string
				status int
				body   string
				part   string
			}{
				{[]string{"Range", "bytes=2-4"}, 206, "234", "bytes 2-4/10"},
				{[]string{"Range", "bytes=7-"}, 206, "789", "bytes 7-9/10"},
				{[]string{"Range", "bytes=-2"}, 206, "89", "bytes 8-9/10"},
				{[]string{"Range", "bytes=-99"}, 206, "0123456789", "bytes 0-9/10"},
				{[]string{"Range", "bytes=5-99"}, 206, "56789", "bytes 5-9/10"},
				{[]string{"Range", "bytes=10-"}, 416, "", "bytes */10"},
				{[]string{"Range", "bytes=1-2,4-5"}, 200, "0123456789", ""},
				{[]string{"Range", "bytes=4-2"}, 200, "0123456789", ""},
				{[]string{"Range", "lines=1-2"}, 200, "0123456789", ""},
				{[]string{"Range", "bytes=-0"}, 200, "0123456789", ""},
				{[]string{"Range", "bytes=99999999999999999999-"}, 200, "0123456789", ""},
				{[]string{"Range", "bytes=2-4", "If-Range", etag}, 206, "234", "bytes 2-4/10"},
				{[]string{"Range", "bytes=2-4", "If-Range", `"other"`}, 200, "0123456789", ""},
				{[]string{"Range", "bytes=2-4", "If-Range", "W/" + etag}, 200, "0123456789", ""},
				{[]string{"If-None-Match", etag}, 304, "", ""},
				{[]string{"If-None-Match", `"x", W/` + etag}, 304, "", ""},
				{[]string{"If-None-Match", "*"}, 304, "", ""},
				{[]string{"If-None-Match", `"x"`}, 200, "0123456789", ""},
			} {
				r := h.get(handle, alice, tt.header...)
				if r.status != tt.status || tt.status < 400 && r.body != tt.body || r.header.Get("Content-Range") != tt.part {
					t.Errorf("%s %v %q: %d %q %q", path, mode, tt.header, r.status, r.body, r.header.Get("Content-Range"))
				}
			}
			r := h.send(http.MethodHead, handle, alice, "")
			if r.status != 200 || r.body != "" || r.header.Get("Content-Length") != "10" || r.header.Get("ETag") != etag || etag == "" {
				t.Errorf("HEAD: %d %v", r.status, r.header)
			}
		}
	}
}

func TestHeadersOfAFile(t *testing.T) {
	h := files(t)
	page := h.get(h.handle("/DocumentReference/page", alice), alice, "Accept-Encoding", "gzip")
	plain := h.get(h.handle("/DocumentReference/long", alice), alice, "Accept-Encoding", "gzip")
	for name, r := range map[string]reply{"page": page, "plain": plain} {
		if r.status != 200 || r.header.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(r.header.Get("Content-Security-Policy"), "sandbox") ||
			r.header.Get("Content-Encoding") != "" || r.header.Get("Accept-Ranges") != "bytes" || !strings.Contains(r.header.Get("Access-Control-Expose-Headers"), "Content-Range") {
			t.Errorf("%s: %d %v", name, r.status, r.header)
		}
	}
	if page.header.Get("Content-Disposition") != "attachment" || plain.header.Get("Content-Disposition") != "" {
		t.Errorf("%v, %v", page.header, plain.header)
	}
}

func TestAFileIsWrittenDownBeforeItLeaves(t *testing.T) {
	h := files(t)
	handle := h.handle("/DocumentReference/long", alice)
	h.sink.take()
	h.get(handle, alice)
	h.get("/Binary/_AAAA", alice)
	events := h.sink.take()
	if len(events) != 2 || events[0].Outcome != audit.Released || events[0].Released != 1 || events[0].Type != "Binary" || events[1].Outcome != audit.Absent {
		t.Errorf("%+v", events)
	}
	h.sink.broken = true
	if r := h.get(handle, alice); r.status != http.StatusServiceUnavailable || strings.Contains(r.body, "0123") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestABrokenFileNeverLooksWhole(t *testing.T) {
	for name, mode := range map[string]ehr.Mode{"a length too long": ehr.WrongLength, "a cut connection": ehr.DropMidBody} {
		t.Run(name, func(t *testing.T) {
			h := files(t)
			handle := h.handle("/DocumentReference/long", alice)
			h.sink.take()
			h.ehr.Misbehave(mode)
			if r := h.get(handle, alice); r.err == nil {
				t.Errorf("%d %q", r.status, r.body)
			}
			if e := h.sink.take(); len(e) == 0 || e[len(e)-1].Outcome != audit.Aborted && e[len(e)-1].Outcome != audit.Failed {
				t.Errorf("%+v", e)
			}
		})
	}
	for name, mode := range map[string]ehr.Mode{"a page": ehr.LoginPage, "an error page": ehr.HTMLError, "a redirect": ehr.RedirectElsewhere, "an outcome": ehr.ChattyOutcome, "labelled as a page": ehr.WrongType} {
		t.Run(name, func(t *testing.T) {
			h := files(t)
			for _, path := range []string{"/DocumentReference/long", "/DocumentReference/long2"} {
				h.ehr.Misbehave(0)
				handle := h.handle(path, alice)
				h.ehr.Misbehave(mode)
				r := h.get(handle, alice)
				if r.status < 400 || strings.Contains(r.everything(), "internal.example") || strings.Contains(r.everything(), "elsewhere.invalid") || strings.Contains(r.body, "<html") {
					t.Errorf("%s: %d %v %s", path, r.status, r.header, r.body)
				}
			}
		})
	}
}

// FHIR that stands in an attachment's URL is asked for like any FHIR.
func TestAnAttachmentThatNamesARecordOpensItNot(t *testing.T) {
	for _, target := range []string{
		"Patient/" + bobID, "BASE/Patient/" + bobID, "BASE/patient/" + bobID, "BASE/Observation?patient=" + bobID, "BASE/Patient/" + bobID + "/$everything",
		"BASE/documents/../Patient/" + bobID, "BASE/documents/%2e%2e/Patient/" + bobID, "BASE//Patient/" + bobID, "BASE/documents%2f..%2fPatient/" + bobID, "BASE/documents\\..\\Patient\\" + bobID,
		"BASE/%50atient/" + bobID, "BASE/Patient;x/" + bobID, "BASE?_getpages=x", "BASE/_history", "BASE/$export", "BASE/metadata", "/fhir/Patient/" + bobID, "BASE/Binary/../Patient/" + bobID,
		"BASE/documents/x.txt#Patient", "BASE/Binary/bin-" + mark + "/_history/1", "BASE/./Patient/" + bobID, "BASE/Binary?_id=bin-" + mark,
	} {
		t.Run(target, func(t *testing.T) {
			h := open(t, 0, twoRecords()...)
			h.load(strings.ReplaceAll(fmt.Sprintf(`{"resourceType":"DocumentReference","id":"w","subject":{"reference":"Patient/alice"},"content":[{"attachment":{"url":"%s"}}]}`, target), `\`, `\\`))
			r := h.get("/DocumentReference/w", alice)
			if strings.Contains(r.body, h.origin) || strings.Contains(r.body, strings.TrimPrefix(h.origin, "http://")) {
				t.Fatalf("the EHR's address leaves: %s", r.body)
			}
			u := h.handle("/DocumentReference/w", alice)
			if strings.Contains(u, "_history") || strings.Contains(u, "/Binary/_") && strings.Contains(target, "bin-"+mark+"/_history") {
				return // the document of the own doctor's does lead there
			}
			if !strings.HasPrefix(u, "http") {
				u = h.base + "/" + strings.TrimPrefix(u, "/")
			}
			if r := h.get(u, alice); r.status < 400 && (strings.Contains(r.body, secret) || strings.Contains(r.body, bobID)) {
				t.Errorf("%s: %d %s", u, r.status, r.body)
			}
		})
	}
}

func TestOtherHostsStayAsTheyAreAndTheEHRsNameDoesNot(t *testing.T) {
	h := open(t, 0, `{"resourceType":"Patient","id":"alice"}`)
	host := strings.TrimPrefix(h.origin, "http://")
	for target, stays := range map[string]bool{
		"https://files.example.org/a.pdf": true, "data:text/plain;base64,eA==": true, "urn:uuid:1": true, "#x": true, "cid:part@mail.example": true,
		"https://" + host + "/fhir/documents/x": false, h.origin + "/other/x": false, h.origin + "/fhirx/Binary/y": false, "//" + host + "/fhir/Binary/z": false,
		"http://u:p@" + host + "/fhir/Binary/z": false, "https://viewer.example.org/?src=" + h.origin + "/fhir/Binary/z": false, "HTTP://" + strings.ToUpper(host) + "/fhir/x/y": false,
		"https://viewer.example.org/?src=http%3A%2F%2F" + strings.ReplaceAll(host, ":", "%3A"): false, "http:\\\\" + host + "\\fhir": false, h.origin + "/fhir/%zz": false,
	} {
		t.Run(target, func(t *testing.T) {
			h.load(fmt.Sprintf(`{"resourceType":"DocumentReference","id":"w","subject":{"reference":"Patient/alice"},"content":[{"attachment":{"url":"%s"}}]}`, strings.ReplaceAll(target, `\`, `\\`)))
			got := h.handle("/DocumentReference/w", alice)
			if stays != (got == target) {
				t.Errorf("%s", got)
			}
			if !stays && strings.Contains(got, host) {
				t.Errorf("the EHR's host leaves: %s", got)
			}
		})
	}
}
