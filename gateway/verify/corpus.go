package verify

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
)

// family makes the requests of one family of attacks from what is known.
type family struct {
	number   int
	title    string
	requests func(a *attack) []request
}

// perType is how many of the other patient's resources of a type are tried when
// the options do not say.
const perType = 3

func get(format string, args ...any) request { return request{target: fmt.Sprintf(format, args...)} }

func post(target string, form url.Values) request {
	return request{method: http.MethodPost, target: target, body: form.Encode()}
}

// each builds requests for some resources of every type.
func (a *attack) each(build func(typ, id string) []request) []request {
	var out []request
	for _, typ := range a.victim.types() {
		for _, id := range a.victim.some(typ, a.o.PerType) {
			out = append(out, build(typ, id)...)
		}
	}
	return out
}

// eachType builds requests for every type of which something is known.
func (a *attack) eachType(build func(typ string) []request) []request {
	var out []request
	for _, typ := range a.victim.types() {
		if typ != "Patient" {
			out = append(out, build(typ)...)
		}
	}
	return out
}

func families() []family {
	return []family{
		{1, "joins", joins},
		{2, "lists of owners", lists},
		{4, "other methods", methods},
		{5, "other people's pages", pages},
		{6, "chains", chains},
		{7, "parameters that reach further", further},
		{8, "counts", counts},
		{9, "telling foreign from missing", existence},
		{10, "a parameter twice", twice},
		{11, "URL against body", disagree},
		{12, "odd spellings", spellings},
		{13, "modifiers", modifiers},
		{14, "finding people", people},
		{16, "override headers", overrides},
		{17, "other formats", formats},
		{18, "owner elements left out", hidden},
		{19, "versions", versions},
		{20, "operations", operations},
		{21, "attachments", otherFiles},
		{22, "plain reads", reads},
		{23, "membership", membership},
		{26, "every type", everyType},
		{27, "batches", batches},
		{30, "linked records", linked},
		{31, "caches and versions", kept},
		{34, "addresses", addresses},
		{35, "provoked errors", provoked},
		{36, "tokens that nobody issued", madeUp},
		{37, "no token", noToken},
		{38, "bodies of other kinds", bodies},
		{40, "what its label withholds", labels},
	}
}

func joins(a *attack) []request {
	out := []request{
		get("/Patient?_id=%s&_revinclude=Observation:subject", a.o.As),
		get("/Patient?_id=%s&_revinclude:iterate=Observation:subject", a.o.As),
		get("/Observation?_include=*"),
		get("/Observation?_include=Observation:subject&_include:iterate=Patient:link"),
		get("/Provenance?_include=Provenance:target"),
	}
	for _, dir := range []string{"Practitioner", "Organization", "Location"} {
		for _, pair := range []string{"Observation:performer", "Encounter:location", "Encounter:service-provider", "PractitionerRole:practitioner", "Appointment:actor"} {
			out = append(out, get("/%s?_revinclude=%s", dir, pair))
		}
	}
	return append(out, a.eachType(func(typ string) []request {
		return []request{
			get("/%s?_revinclude=Provenance:target", typ),
			get("/%s?_include=%s:patient&_include=%s:subject", typ, typ, typ),
			get("/%s?_has:Provenance:target:_id=x", typ),
		}
	})...)
}

func lists(a *attack) []request {
	return a.eachType(func(typ string) []request {
		return []request{
			get("/%s?patient=%s,%s", typ, a.o.As, a.o.Not),
			get("/%s?subject=Patient/%s,Patient/%s", typ, a.o.As, a.o.Not),
			get("/%s?patient=Patient/%s", typ, a.o.Not),
			get("/%s?actor=Practitioner/x,Patient/%s", typ, a.o.Not),
		}
	})
}

// methods tries none that could change anything: a gateway without a guard would
// carry it out, on real records.
func methods(a *attack) []request {
	return a.each(func(typ, id string) []request {
		return []request{
			post("/"+typ+"/_search", url.Values{"_id": {id}}),
			post("/"+typ+"/_search", url.Values{"patient": {a.o.Not}}),
			{method: http.MethodHead, target: "/" + typ + "/" + id},
			{method: http.MethodOptions, target: "/" + typ + "/" + id},
			{method: "SEARCH", target: "/" + typ + "/" + id, body: "x=y"},
		}
	})
}

func pages(a *attack) []request {
	var out []request
	for _, handle := range []string{"AAAA", a.o.Not, strings.Repeat("A", 400), "../" + a.o.Not} {
		for _, name := range []string{"_page", "_getpages", "page", "_offset"} {
			out = append(out, get("/Observation?%s=%s", name, url.QueryEscape(handle)), get("?%s=%s", name, url.QueryEscape(handle)))
		}
	}
	return append(out, tampered(a)...)
}

func chains(a *attack) []request {
	var out []request
	for _, name := range a.victim.names {
		out = append(out,
			get("/Observation?patient.name=%s", url.QueryEscape(name)),
			get("/Observation?subject:Patient.family=%s", url.QueryEscape(name)),
			get("/Practitioner?_has:Observation:performer:patient.name=%s", url.QueryEscape(name)))
	}
	for _, id := range a.victim.identifiers[:min(5, len(a.victim.identifiers))] {
		out = append(out, get("/Observation?patient.identifier=%s", url.QueryEscape(id.system+"|"+id.value)),
			get("/Encounter?subject:identifier=%s", url.QueryEscape(id.system+"|"+id.value)))
	}
	return out
}

func further(a *attack) []request {
	return a.eachType(func(typ string) []request {
		return []request{
			get("/%s?_filter=%s", typ, url.QueryEscape("patient eq Patient/"+a.o.Not)),
			get("/%s?_query=all", typ), get("/%s?_text=%s", typ, a.o.Not), get("/%s?_content=%s", typ, a.o.Not),
			get("/%s?_list=%s", typ, a.o.Not), get("/%s?_contained=both", typ), get("?_type=%s&patient=%s", typ, a.o.Not),
		}
	})
}

// counts looks at types whose own resources one search finds: of others a count
// of more than that search's proves nothing.
func counts(a *attack) []request {
	return a.eachType(func(typ string) []request {
		own := len(a.own.ids[typ])
		if class := compartment.Of(typ).Class; class != compartment.Own {
			return nil
		}
		tooMany := func(r reply) string {
			if total, ok := totalOf(r.body); ok && own < maxPerType && total > own {
				return "a count of more than the own resources"
			}
			return ""
		}
		var out []request
		for _, q := range []string{"_summary=count", "_count=0", "_total=accurate", "_summary=count&patient=" + a.o.As} {
			out = append(out, request{target: "/" + typ + "?" + q, check: tooMany})
		}
		return out
	})
}

func totalOf(body string) (int, bool) {
	_, rest, found := strings.Cut(body, `"total":`)
	if !found {
		return 0, false
	}
	var total int
	_, err := fmt.Sscanf(rest, "%d", &total)
	return total, err == nil
}

// existence: a foreign resource and one that is not there must look the same.
func existence(a *attack) []request {
	return a.each(func(typ, id string) []request {
		var missing reply
		return []request{
			{target: "/" + typ + "/there-is-no-such-id-0", check: func(r reply) string { missing = r; return "" }},
			{target: "/" + typ + "/" + id, check: func(r reply) string {
				if r.status != missing.status || r.body != missing.body {
					return "that it exists: the answer differs from that of a missing one"
				}
				return ""
			}},
		}
	})
}

func twice(a *attack) []request {
	return a.eachType(func(typ string) []request {
		return []request{
			get("/%s?patient=%s&patient=%s", typ, a.o.As, a.o.Not), get("/%s?patient=%s&patient=%s", typ, a.o.Not, a.o.As),
			get("/%s?patient=%s&subject=Patient/%s", typ, a.o.As, a.o.Not), get("/%s?subject=Patient/%s&patient=%s", typ, a.o.As, a.o.Not),
		}
	})
}

func disagree(a *attack) []request {
	return a.eachType(func(typ string) []request {
		return []request{
			post("/"+typ+"/_search?patient="+a.o.As, url.Values{"patient": {a.o.Not}}),
			post("/"+typ+"/_search?patient="+a.o.Not, url.Values{"patient": {a.o.As}}),
			post("/"+typ+"/_search?subject=Patient/"+a.o.Not, url.Values{"patient": {a.o.As}}),
		}
	})
}

func spellings(a *attack) []request {
	out := a.eachType(func(typ string) []request {
		return []request{
			get("/%s?%%70atient=%s", typ, a.o.Not), get("/%s?PATIENT=%s", typ, a.o.Not), get("/%s?patient%%20=%s", typ, a.o.Not),
			get("/%s?patient=%s;patient=%s", typ, a.o.As, a.o.Not), get("/%s?patient%%00=%s", typ, a.o.Not), get("/%s?patient=%s%%2C%s", typ, a.o.As, a.o.Not),
		}
	})
	return append(out, a.each(func(typ, id string) []request {
		return []request{
			get("/%s/%s/", typ, id), get("//%s/%s", typ, id), get("/%s//%s", typ, id), get("/%s/%%2e%%2e/%s/%s", a.own.types()[0], typ, id),
			get("/%s/..%%2f%s%%2f%s", a.own.types()[0], typ, id), get("/%s;v=1/%s", typ, id), get("/%s/%s%%00", typ, id), get("/%s/%s", strings.ToLower(typ), id),
		}
	})...)
}

func modifiers(a *attack) []request {
	return a.eachType(func(typ string) []request {
		var out []request
		for _, m := range []string{"patient:Patient=" + a.o.Not, "subject:Patient=" + a.o.Not, "patient:missing=true", "subject:missing=false", "patient:not=" + a.o.As, "subject:above=" + a.o.Not, "patient:in=x"} {
			out = append(out, get("/%s?%s", typ, m))
		}
		return out
	})
}

func people(a *attack) []request {
	out := []request{
		get("/Patient"), get("/Patient?_id=%s", a.o.Not), get("/Patient?_id=%s,%s", a.o.As, a.o.Not), get("/Patient?birthdate=%s", a.victim.birthDate),
		get("/Patient?link=Patient/%s", a.o.As), get("/RelatedPerson"), get("/Person"), get("/Group"), get("/RelatedPerson?patient=%s", a.o.Not),
	}
	for _, id := range a.victim.identifiers[:min(10, len(a.victim.identifiers))] {
		out = append(out, get("/Patient?identifier=%s", url.QueryEscape(id.system+"|"+id.value)), get("/Observation?identifier=%s", url.QueryEscape(id.value)))
	}
	for _, name := range a.victim.names {
		for _, by := range []string{"name", "family", "given", "family:exact", "name:contains"} {
			out = append(out, get("/Patient?%s=%s", by, url.QueryEscape(name)))
		}
	}
	return out
}

func overrides(a *attack) []request {
	var out []request
	for _, h := range []string{"X-Http-Method-Override", "X-Http-Method", "X-Forwarded-Host", "Forwarded", "X-Original-Url", "X-Rewrite-Url"} {
		out = append(out,
			request{target: "/Patient/" + a.o.As, header: http.Header{h: {"/Patient/" + a.o.Not}}},
			request{method: http.MethodPost, target: "/Observation/_search", body: "patient=" + a.o.Not, header: http.Header{h: {"GET"}}})
	}
	return out
}

func hidden(a *attack) []request {
	return a.eachType(func(typ string) []request {
		return []request{
			get("/%s?_elements=id", typ), get("/%s?_summary=true", typ), get("/%s?_summary=text", typ), get("/%s?_summary=data&_elements=code", typ),
			get("/%s?_id=%s&_elements=id", typ, strings.Join(a.victim.some(typ, 1), "")),
		}
	})
}

// versions asks for old versions of what is the other's, and for those of the
// own in which something of the other's may stand.
func versions(a *attack) []request {
	out := a.each(func(typ, id string) []request {
		var missing reply
		return []request{
			get("/%s/%s/_history/1", typ, id), get("/%s/%s/_history/2", typ, id), get("/%s/%s/_history?_count=1", typ, id),
			get("/%s/%s/_history?_since=2000-01-01T00:00:00Z", typ, id), get("/%s/%s/%%5fhistory", typ, id),
			get("/%s/%s/_history/..%%2f..%%2f%s", typ, a.o.As, id), get("/Patient/%s/%s/%s/_history", a.o.As, typ, id),
			{method: http.MethodHead, target: "/" + typ + "/" + id + "/_history"},
			{target: "/" + typ + "/there-is-no-such-id-0/_history", check: func(r reply) string { missing = r; return "" }},
			{target: "/" + typ + "/" + id + "/_history", check: func(r reply) string {
				if r.status != missing.status || r.body != missing.body {
					return "that it has a past: the answer differs from that of a missing one"
				}
				return ""
			}},
		}
	})
	for _, typ := range a.own.types() {
		for _, id := range a.own.some(typ, 1) {
			out = append(out, get("/%s/%s/_history", typ, id), get("/%s/%s/_history?_count=1", typ, id), get("/%s/%s/_history/1", typ, id))
		}
	}
	return append(out, append(a.eachType(func(typ string) []request { return []request{get("/%s/_history", typ)} }), get("/_history"))...)
}

// operations asks for everything, in all the ways in which several things come
// in one answer, of both patients.
func operations(a *attack) []request {
	out := []request{
		get("/Patient/%s/$everything", a.o.Not), get("/Patient/$everything"), get("/Patient/%s/$everything?_type=Patient,Observation", a.o.As),
		get("/Patient/%s/$everything?_count=5&start=1900-01-01", a.o.As), get("/Patient/%s/$everything?_type=Practitioner,RelatedPerson,Group,Person", a.o.As),
		get("/Patient/%s/$everything?patient=%s", a.o.As, a.o.Not), get("/Patient/%s/%%24everything", a.o.Not),
		get("/Patient/%s/*", a.o.Not), get("/Patient/%s/%%2a", a.o.Not), get("/Patient/%s/*?_type=Appointment,Communication,CareTeam,Group", a.o.As),
		get("/Patient/%s/*?_id=%s", a.o.As, a.o.Not), get("/Patient/%s/*?patient=%s", a.o.As, a.o.Not),
		post("/Patient/"+a.o.Not+"/_search", url.Values{"_count": {"5"}}), post("/Patient/"+a.o.As+"/_search", url.Values{"_type": {"Patient,Appointment"}}),
		get("/$graphql?query={PatientList{id}}"), get("/Observation/$lastn?patient=%s", a.o.Not), get("/DocumentReference/$docref?patient=%s", a.o.Not),
		get("/Observation/$lastn?max=3"), get("/Observation/$lastn?subject=Patient/%s", a.o.Not), get("/Observation/$lastn?patient=%s&patient=%s", a.o.As, a.o.Not),
		get("/DocumentReference/$docref?patient=%s&start=1900", a.o.As), get("/DocumentReference/$docref?patient=%s&patient=%s", a.o.As, a.o.Not),
		a.operate("/DocumentReference/$docref", "patient", "valueId", a.o.Not), a.operate("/DocumentReference/$docref?patient="+a.o.As, "patient", "valueId", a.o.Not),
		a.operate("/Observation/$lastn", "patient", "valueString", a.o.Not), a.operate("/Patient/"+a.o.Not+"/$everything", "_type", "valueCode", "Patient"),
		get("/Patient/$export"), get("/$export"), get("/Patient/$match"), get("/$meta"),
	}
	return append(out, a.eachType(func(typ string) []request {
		return []request{
			get("/Patient/%s/%s", a.o.Not, typ), get("/Patient/%s/%s?patient=%s", a.o.As, typ, a.o.Not), get("/%s/$meta", typ),
			get("/Patient/%s/$everything?_type=%s", a.o.Not, typ), get("/Patient/%s/*?_type=%s", a.o.Not, typ),
		}
	})...)
}

// operate calls an operation with one parameter in a Parameters resource.
func (a *attack) operate(target, name, value, of string) request {
	return request{
		method: http.MethodPost, target: target, header: http.Header{"Content-Type": {fhir.JSON}},
		body: fmt.Sprintf(`{"resourceType":"Parameters","parameter":[{"name":%q,%q:%q}]}`, name, value, of),
	}
}

func reads(a *attack) []request {
	return a.each(func(typ, id string) []request {
		return []request{get("/%s/%s", typ, id), get("/%s?_id=%s", typ, id), get("/%s?_id=%s&patient=%s", typ, id, a.o.As)}
	})
}

func membership(a *attack) []request {
	out := a.eachType(func(typ string) []request { return []request{get("/%s", typ), get("/%s?_count=200", typ)} })
	for _, typ := range []string{"Appointment", "Communication", "CareTeam", "Group", "Account", "Provenance", "Schedule", "List", "Coverage"} {
		out = append(out, get("/%s", typ), get("/%s?_count=100", typ))
	}
	return append(out, a.each(func(typ, id string) []request { return []request{get("/Provenance?target=%s/%s", typ, id)} })...)
}

func batches(a *attack) []request {
	return a.each(func(typ, id string) []request {
		var out []request
		for _, target := range []string{typ + "/" + id, "../" + typ + "/" + id, typ + "?_id=" + id, typ + "?patient=" + a.o.Not, a.o.Base + "/" + typ + "/" + id} {
			out = append(out, request{
				// A server that takes it for a write has nothing to write: only GETs.
				method: http.MethodPost, target: "/", header: http.Header{"Content-Type": {fhir.JSON}},
				body: fmt.Sprintf(`{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":%q}},{"request":{"method":"GET","url":"Patient/%s"}}]}`, target, a.o.As),
			})
		}
		return out
	})
}

func noToken(a *attack) []request {
	refused := func(r reply) string {
		if r.status != http.StatusUnauthorized {
			return "an answer without a token"
		}
		return ""
	}
	return a.each(func(typ, id string) []request {
		return []request{
			{target: "/" + typ + "/" + id, noToken: true, check: refused},
			{target: "/" + typ + "?patient=" + a.o.Not, noToken: true, check: refused},
			{target: "/" + typ + "/" + id, noToken: true, header: http.Header{"Authorization": {"Basic YTpi"}}, check: refused},
			{target: "/" + typ + "/" + id, noToken: true, header: http.Header{"Authorization": {"Bearer " + a.o.Not}}, check: refused},
		}
	})
}
