package verify

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/portico-fhir/portico/fhir/compartment"
)

// This file holds the families that are about how something is asked rather
// than what: formats, types, addresses, errors, tokens and caches.

func with(q request, name, value string) request {
	q.header = http.Header{name: {value}}
	return q
}

// formats asks in formats that a filter made for JSON would not see into.
func formats(a *attack) []request {
	return a.each(func(typ, id string) []request {
		var out []request
		for _, format := range []string{"xml", "application/fhir+xml", "html", "text/html", "ttl"} {
			out = append(out, get("/%s/%s?_format=%s", typ, id, url.QueryEscape(format)))
		}
		for _, accept := range []string{"application/fhir+xml", "text/html", "application/pdf", "*/*"} {
			out = append(out, with(get("/%s/%s", typ, id), "Accept", accept))
		}
		return append(out, get("/%s?_id=%s&_format=xml", typ, id), with(get("/%s?patient=%s", typ, a.o.Not), "Accept", "application/fhir+xml"))
	})
}

// everyType leaves none out: one type that forgets the filter is enough.
func everyType(a *attack) []request {
	var out []request
	for _, typ := range compartment.Types() {
		out = append(out,
			get("/%s", typ), get("/%s?_id=%s", typ, a.o.Not), get("/%s/%s", typ, a.o.Not), get("/%s?_lastUpdated=gt1900-01-01", typ),
			get("/Patient/%s/%s", a.o.Not, typ), post("/"+typ+"/_search", url.Values{"_count": {"100"}}))
	}
	return out
}

// linked follows the links between records of people.
func linked(a *attack) []request {
	out := []request{
		get("/Patient?link=Patient/%s", a.o.Not), get("/Patient?_id=%s&_include=Patient:link", a.o.As), get("/Patient?_id=%s&_revinclude=Patient:link", a.o.As),
		get("/Patient?_has:Patient:link:_id=%s", a.o.Not), get("/Patient/%s/$everything?_type=Patient,RelatedPerson,Person", a.o.As),
	}
	for _, typ := range []string{"Person", "RelatedPerson", "Linkage", "Group", "Basic", "Consent", "VerificationResult"} {
		out = append(out, get("/%s?patient=%s", typ, a.o.Not), get("/%s?link=Patient/%s", typ, a.o.Not), get("/%s?member=Patient/%s", typ, a.o.Not), get("/%s?_include=%s:patient", typ, typ))
	}
	return out
}

// addresses names the other patient by absolute URLs, true and almost true.
func addresses(a *attack) []request {
	bases := []string{a.o.Base, a.o.Base + "2", strings.ToUpper(a.o.Base), strings.Replace(a.o.Base, "://", "://x@", 1), strings.ReplaceAll(a.o.Base, "/", `\/`), a.o.Base + "/../ehr"}
	for _, host := range a.o.Hosts {
		bases = append(bases, "http://"+host+"/fhir", "https://"+host)
	}
	return a.eachType(func(typ string) []request {
		var out []request
		for _, base := range bases {
			victim := url.QueryEscape(base + "/Patient/" + a.o.Not)
			out = append(out, get("/%s?patient=%s", typ, victim), get("/%s?subject=%s", typ, victim))
		}
		return out
	})
}

// provoked asks what an EHR may answer with an error: nothing of that may leave.
func provoked(a *attack) []request {
	raw := func(r reply) string {
		if r.status < http.StatusBadRequest {
			return ""
		}
		if !strings.Contains(r.body, `"OperationOutcome"`) && !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") {
			return "an error that is not the gateway's own"
		}
		for _, word := range []string{"Exception", "stack", "at java.", "Traceback", "SELECT ", "goroutine "} {
			if strings.Contains(r.body, word) {
				return "the inside of a program"
			}
		}
		return ""
	}
	return a.eachType(func(typ string) []request {
		var out []request
		for _, q := range []string{"_lastUpdated=zz", "date=0000-99-99", "_id=%FF", "_id=" + strings.Repeat("x", 5000), "_count=-1", "_count=99999999999999999999", "code=%00", "_sort=nothing", "patient=" + strings.Repeat("9", 3000), "identifier=%7C%7C%7C", "_include=:::", "%5B%5D=1"} {
			out = append(out, request{target: "/" + typ + "?" + q, check: raw})
		}
		return append(out, request{target: "/" + typ + "/" + strings.Repeat("x", 5000), check: raw})
	})
}

// madeUp are tokens that nobody issued, and a good one where none belongs.
func madeUp(a *attack) []request {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	claims := part(fmt.Sprintf(`{"sub":%q,"patient":%q,"scope":"patient/*.rs","exp":4102444800}`, a.o.Not, a.o.Not))
	refused := func(r reply) string {
		if r.status != http.StatusUnauthorized && r.status != http.StatusBadRequest {
			return "an answer to a token that nobody issued"
		}
		return ""
	}
	var out []request
	for _, token := range []string{
		part(`{"alg":"none"}`) + "." + claims + ".", part(`{"alg":"HS256","kid":"../../dev/null"}`) + "." + claims + ".AAAA",
		part(`{"alg":"RS256","jku":"http://127.0.0.1:1/jwks"}`) + "." + claims + ".AAAA", strings.Repeat("A", 43), a.o.Bearer + "x", strings.ToUpper(a.o.Bearer) + "-", " " + a.o.Bearer + " " + a.o.Bearer,
	} {
		for _, target := range []string{"/Patient/" + a.o.Not, "/Patient/" + a.o.As, "/Observation?patient=" + a.o.Not} {
			out = append(out, request{target: target, noToken: true, header: http.Header{"Authorization": {"Bearer " + token}}, check: refused})
		}
	}
	for _, target := range []string{"/Patient/" + a.o.As + "?access_token=" + url.QueryEscape(a.o.Bearer), "/Observation?access_token=" + url.QueryEscape(a.o.Bearer)} {
		out = append(out, request{target: target, noToken: true, check: refused})
	}
	return append(out,
		request{method: http.MethodPost, target: "/Observation/_search", body: "access_token=" + url.QueryEscape(a.o.Bearer), noToken: true, check: refused},
		request{target: "/Patient/" + a.o.Not, noToken: true, header: http.Header{"Authorization": {"Bearer " + a.o.Bearer, "Bearer " + a.o.Not}}, check: refused},
		request{target: "/Patient/" + a.o.Not, noToken: true, header: http.Header{"Cookie": {"patient=" + a.o.Not}}, check: refused})
}

// bodies are of kinds that are not read: XML with entities, arrays, archives.
func bodies(a *attack) []request {
	accepted := func(r reply) string {
		if r.status < http.StatusBadRequest {
			return "that a body of this kind is accepted"
		}
		return ""
	}
	const xml = `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Bundle xmlns="http://hl7.org/fhir"><type value="batch"/><id value="&e;"/></Bundle>`
	var out []request
	for media, body := range map[string]string{"application/fhir+xml": xml, "text/xml": xml, "application/zip": "PK\x03\x04", "text/plain": `{"resourceType":"Bundle","type":"batch"}`, "application/x-ndjson": "{}\n{}"} {
		for _, target := range []string{"/", "/Observation/_search", "/Patient/" + a.o.Not + "/_search"} {
			out = append(out, request{method: http.MethodPost, target: target, body: body, header: http.Header{"Content-Type": {media}}, check: accepted})
		}
	}
	return out
}

// kept asks what a cache, or a comparison of versions, may answer in place of
// the guard: a foreign resource must look as a missing one does.
func kept(a *attack) []request {
	return a.each(func(typ, id string) []request {
		var out []request
		for name, value := range map[string]string{"If-None-Match": "*", "If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT", "Cache-Control": "only-if-cached", "Range": "bytes=0-1", "Prefer": "return=minimal"} {
			var missing reply
			out = append(out,
				request{target: "/" + typ + "/there-is-no-such-id-1", header: http.Header{name: {value}}, check: func(r reply) string { missing = r; return "" }},
				request{target: "/" + typ + "/" + id, header: http.Header{name: {value}}, check: func(r reply) string {
					if r.status != missing.status || r.body != missing.body {
						return "that it exists: the answer differs from that of a missing one"
					}
					return ""
				}})
		}
		return append(out, with(get("/%s?patient=%s", typ, a.o.As), "X-Patient", a.o.Not), with(get("/%s/%s", typ, id), "If-None-Match", `W/"1"`))
	})
}
