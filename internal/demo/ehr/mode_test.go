package ehr_test

import (
	"bytes"
	"encoding/json"
	"io"
	"math/bits"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/internal/demo/ehr"
)

const amysLabs = "Observation?patient=amy"

// misbehaviours shows for each mode what a client sees that it must not see.
var misbehaviours = map[ehr.Mode]func(h *hospital) bool{
	ehr.IgnorePatient: func(h *hospital) bool {
		return slices.Contains(h.get(amysLabs+"&code=2345-7").bundle().rows("match"), "Observation/b1") &&
			slices.Contains(h.get("Patient/amy/Observation").bundle().rows("match"), "Observation/b1") &&
			slices.Contains(h.get("Appointment?actor=Patient/cat").bundle().rows("match"), "Appointment/group")
	},
	ehr.IgnoreID: func(h *hospital) bool {
		return len(h.get("Patient?_id=amy").bundle().Entry) == 3
	},
	ehr.ForeignRows: func(h *hospital) bool {
		b := h.get(amysLabs + "&_include=Observation:subject").bundle()
		rows := b.rows("match")
		patients := h.get("Patient?_id=amy").bundle().rows("match")
		return len(rows) == 5 && rows[0] == "Observation/b1" && rows[4] == "Observation/nobody" && *b.Total == 3 &&
			len(patients) == 3 && slices.Contains(patients, "Patient/ben")
	},
	ehr.ForeignRead: func(h *hospital) bool {
		return string(h.get("Observation/a1").want(200).body) == h.loaded("Observation/b1") &&
			nameOf(h.get("Patient/amy").want(200).body) == "Patient/ben"
	},
	ehr.DisguisedRead: func(h *hospital) bool {
		r := h.get("Observation/a1").want(200)
		return nameOf(r.body) == "Observation/a1" && bytes.Contains(r.body, []byte("Patient/ben"))
	},
	ehr.ExtraIncludes: func(h *hospital) bool {
		rows := h.get(amysLabs).bundle().rows("include")
		return slices.Contains(rows, "Condition/cb") && slices.Contains(rows, "Patient/ben") && slices.Contains(rows, "Practitioner/dr")
	},
	ehr.NoSearchMode: func(h *hospital) bool {
		return len(h.get(amysLabs+"&_include=Observation:subject").bundle().rows("")) == 4
	},
	ehr.DuplicateKeys: func(h *hospital) bool {
		return h.spoiltEntry(amysLabs, func(raw []byte) bool {
			_, err := fhir.ParseNode(raw)
			return err != nil && json.Valid(raw) && bytes.Count(raw, []byte(`"subject":{"reference":"Patient/amy"}`)) == 2
		}) && bytes.Count(h.get("Patient/amy").body, []byte(`"id":"amy"`)) == 2
	},
	ehr.CaseSpoofedKeys: func(h *hospital) bool {
		return h.spoiltEntry(amysLabs, func(raw []byte) bool {
			var seen struct {
				Subject struct{ Reference string } `json:"subject"`
			}
			res, err := fhir.ParseResource(raw)
			return json.Unmarshal(raw, &seen) == nil && seen.Subject.Reference == "Patient/amy" &&
				err == nil && res.Root().Get("Subject").Exists()
		})
	},
	ehr.EscapedKeys: func(h *hospital) bool {
		return h.spoiltEntry(amysLabs, func(raw []byte) bool {
			res, err := fhir.ParseResource(raw)
			return err == nil && !bytes.Contains(raw, []byte(`"subject"`)) && res.Root().Get("subject").IsObject()
		})
	},
	ehr.BadUTF8: func(h *hospital) bool {
		return !utf8.Valid(h.get("Patient/amy").body) && !utf8.Valid(h.get(amysLabs).body)
	},
	ehr.NoID: func(h *hospital) bool {
		return nameOf(h.get("Patient/amy").body) == "Patient/" && nameOf(h.get("Patient/ben").body) == "Patient/" &&
			nameOf(h.get(amysLabs).bundle().Entry[0].Resource) == "Observation/"
	},
	ehr.NoType: func(h *hospital) bool {
		return nameOf(h.get("Patient/amy").body) == "/amy" && nameOf(h.get("Patient/ben").body) == "/ben"
	},
	ehr.RawBinary: func(h *hospital) bool {
		r := h.get("Binary/pdf").want(200)
		return !strings.Contains(r.header.Get("Content-Type"), "json") && !bytes.Contains(r.body, []byte("resourceType"))
	},
	ehr.AbsoluteURLs: func(h *hospital) bool {
		return bytes.Contains(h.get("Observation/a1").body, []byte(`"reference":"`+h.base+`/Patient/amy"`)) &&
			bytes.Contains(h.get("DocumentReference/doc").body, []byte(`"url":"`+h.base+`/Binary/pdf"`))
	},
	ehr.ElsewhereURLs: func(h *hospital) bool {
		return h.get(amysLabs).bundle().Entry[0].FullURL == "http://elsewhere.invalid/fhir/Observation/a1"
	},
	ehr.WrongTotal: func(h *hospital) bool { return *h.get(amysLabs).bundle().Total == 1003 },
	ehr.NextElsewhere: func(h *hospital) bool {
		return strings.HasPrefix(h.get(amysLabs).bundle().link("next"), "http://elsewhere.invalid/fhir/Observation?")
	},
	ehr.EndlessPages: func(h *hospital) bool {
		first := h.get(amysLabs).bundle()
		return h.get(first.link("next")).bundle().link("next") == first.link("next")
	},
	ehr.HTMLError: func(h *hospital) bool {
		r := h.get("Patient/amy").want(502)
		return strings.HasPrefix(r.header.Get("Content-Type"), "text/html") && bytes.Contains(r.body, []byte("internal.example"))
	},
	ehr.LoginPage: func(h *hospital) bool {
		r := h.get("Patient/amy").want(200)
		return strings.HasPrefix(r.header.Get("Content-Type"), "text/html") && bytes.Contains(r.body, []byte("<form"))
	},
	ehr.StackTrace: func(h *hospital) bool {
		return bytes.Contains(h.get("Patient/amy").want(500).body, []byte("Patient/ben"))
	},
	ehr.ChattyOutcome: func(h *hospital) bool {
		r := h.get("Patient/amy")
		r.outcome(500, "exception")
		return bytes.Contains(r.body, []byte("Patient/ben"))
	},
	ehr.RedirectElsewhere: func(h *hospital) bool {
		return h.get("Patient/amy?x=1").want(307).header.Get("Location") == "http://elsewhere.invalid/fhir/Patient/amy?x=1"
	},
	ehr.Slow: func(h *hospital) bool { return took(h) >= 40*time.Millisecond },
	ehr.Drip: func(h *hospital) bool { return took(h) >= 31*2*time.Millisecond },
	ehr.Truncate: func(h *hospital) bool {
		r, err := h.try("GET", "Patient/amy", "")
		return err == nil && r.status == 200 && len(r.body) == len(h.loaded("Patient/amy"))/2 && !json.Valid(r.body)
	},
	ehr.WrongLength: func(h *hospital) bool { return h.breaksOff() },
	ehr.ShortLength: func(h *hospital) bool {
		conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(h.base, "http://"), "/fhir"))
		if err != nil {
			h.t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "GET /fhir/Patient/amy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		all, _ := io.ReadAll(conn)
		r, err := h.try("GET", "Patient/amy", "", "Connection: close")
		return bytes.HasSuffix(all, []byte(h.loaded("Patient/amy"))) && err == nil && len(r.body) == len(h.loaded("Patient/amy"))/2
	},
	ehr.DropMidBody: func(h *hospital) bool { return h.breaksOff() },
	ehr.Drop: func(h *hospital) bool {
		_, err := h.try("POST", "Observation/_search", "x")
		return err != nil
	},
	ehr.WrongType: func(h *hospital) bool {
		return h.get("Patient/amy").want(200).header.Get("Content-Type") == "text/html"
	},
}

func (h *hospital) loaded(name string) string { return known(h.t, name) }

// spoiltEntry applies a check to the first entry of a search. The bundle is cut
// by hand, since a spoilt one need not parse.
func (h *hospital) spoiltEntry(path string, check func(raw []byte) bool) bool {
	body := h.get(path).want(200).body
	_, after, found := bytes.Cut(body, []byte(`"resource":`))
	raw, _, end := bytes.Cut(after, []byte(`,"search":`))
	return found && end && check(raw)
}

// breaksOff says whether the body ends before it should.
func (h *hospital) breaksOff() bool {
	r, err := h.try("GET", "Patient/amy", "")
	return err != nil && r.status == 200 && len(r.body) > 0
}

func took(h *hospital) time.Duration {
	start := time.Now()
	if got := string(h.get("Patient/amy").want(200).body); got != h.loaded("Patient/amy") {
		h.t.Errorf("the body has changed: %s", got)
	}
	return time.Since(start)
}

func TestEachModeMisbehaves(t *testing.T) {
	for i := range bits.Len64(uint64(ehr.AllModes)) {
		mode := ehr.Mode(1) << i
		shows := misbehaviours[mode]
		if shows == nil {
			t.Errorf("nothing shows what mode 1<<%d does", i)
			continue
		}
		h := open(t, ehr.Options{Delay: 40 * time.Millisecond, DripPause: 2 * time.Millisecond})
		if h.honest(shows) {
			t.Errorf("an honest server passes for mode 1<<%d", i)
		}
		h.server.Misbehave(mode)
		if !shows(h) {
			t.Errorf("mode 1<<%d does not misbehave", i)
		}
		h.server.Misbehave(0)
		if got := h.get("Patient/amy").want(200); string(got.body) != h.loaded("Patient/amy") {
			t.Errorf("after mode 1<<%d the server is not honest again", i)
		}
	}
}

// honest applies a check to a server that behaves. What the check takes for
// granted may fail there, which counts as not passing.
func (h *hospital) honest(shows func(*hospital) bool) bool {
	h.server.Misbehave(0)
	p := &probe{TB: h.t}
	passed := make(chan bool, 1)
	go func() {
		ok := false
		defer func() { passed <- ok && !p.failed }()
		ok = shows(&hospital{p, h.server, h.base, h.client})
	}()
	ok := <-passed
	h.server.Misbehave(0)
	return ok
}

// probe notes failures instead of reporting them.
type probe struct {
	testing.TB
	failed bool
}

func (p *probe) Errorf(string, ...any) { p.failed = true }

func (p *probe) Fatalf(string, ...any) {
	p.failed = true
	runtime.Goexit()
}

func TestModesCombine(t *testing.T) {
	h := open(t, ehr.Options{})
	h.server.Misbehave(ehr.ForeignRows | ehr.WrongTotal | ehr.NextElsewhere | ehr.AbsoluteURLs)
	b := h.get(amysLabs).bundle()
	if len(b.Entry) != 5 || *b.Total != 1003 || !strings.HasPrefix(b.link("next"), "http://elsewhere.invalid/") || !bytes.Contains(b.Entry[0].Resource, []byte(h.base+"/Patient/ben")) {
		t.Errorf("%+v", b)
	}
	h.server.MisbehaveWhen(ehr.HTMLError, func(r *http.Request) bool { return r.URL.Query().Has("_page") })
	crowd(t, h, 4)
	first := h.get("Observation?patient=busy&_count=2").bundle()
	h.get(first.link("next")).want(502)
}

func TestAForeignRowCanPassForOnesOwn(t *testing.T) {
	h := open(t, ehr.Options{})
	h.server.Misbehave(ehr.CaseSpoofedKeys | ehr.ForeignRows)
	raw := h.get(amysLabs).bundle().Entry[0].Resource
	var naive struct {
		Subject struct{ Reference string } `json:"subject"`
	}
	if err := json.Unmarshal(raw, &naive); err != nil || naive.Subject.Reference != "Patient/amy" {
		t.Errorf("a careless reader sees %q, %v", naive.Subject.Reference, err)
	}
	res, err := fhir.ParseResource(raw)
	if err != nil || res.Root().Get("subject").Get("reference").Text() != "Patient/ben" {
		t.Errorf("a careful reader: %v, %s", err, raw)
	}
}

func TestABatchMisbehavesInside(t *testing.T) {
	h := open(t, ehr.Options{})
	h.server.Misbehave(ehr.ForeignRead)
	b := h.do("POST", "", `{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Patient/amy"}}]}`).bundle()
	if nameOf(b.Entry[0].Resource) != "Patient/ben" {
		t.Errorf("%s", b.Entry[0].Resource)
	}
}

func TestSlowGivesUpWhenTheCallerDoes(t *testing.T) {
	h := open(t, ehr.Options{Delay: time.Hour})
	h.server.Misbehave(ehr.Slow)
	h.client.Timeout = 30 * time.Millisecond
	if _, err := h.try("GET", "Patient/amy", ""); err == nil {
		t.Error("an answer came")
	}
}
