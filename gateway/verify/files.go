package verify

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

const (
	maxFiles  = 20 // attachments of a patient that are tried
	maxLooked = 5  // whose content is looked for in answers
)

// files reads what some of the attachments hold, so that it is known again as a
// resource and as it is.
func (k *knowledge) files(ctx context.Context, ehr upstream.Reader) error {
	for _, u := range k.attachments[:min(maxLooked, len(k.attachments))] {
		id := binaryOf(u)
		if !fhir.ValidID(id) {
			continue
		}
		answer, err := ehr.Read(ctx, "Binary", id)
		switch kind := fault.KindOf(err); {
		case err != nil && (kind == fault.NotFound || kind == fault.Upstream || kind == fault.Unsupported):
			continue // the EHR gives it in another way
		case err != nil:
			return err
		}
		raw, err := io.ReadAll(io.LimitReader(answer.Body, maxEntry))
		_ = answer.Body.Close()
		if err != nil {
			return err
		}
		if r, err := fhir.ParseResource(raw); err == nil {
			data := r.Root().Get("data").Text()
			k.mark(data, "a file, as a resource")
			if content, err := base64.StdEncoding.DecodeString(data); err == nil {
				k.mark(string(content), "a file")
			}
		}
	}
	return nil
}

// binaryOf gives what may be the id of a Binary in the URL of an attachment.
func binaryOf(u string) string {
	u, _, _ = strings.Cut(u, "?")
	last := u[strings.LastIndexByte(u, '/')+1:]
	if strings.Contains(u, "Binary/") {
		return last
	}
	name, _, _ := strings.Cut(last, ".")
	return name
}

var handleURL = regexp.MustCompile(`"(https?://[^"]*/Binary/_[^"]*)"`)

// ownHandles asks for the own documents, for the links in them.
func (a *attack) ownHandles(ctx context.Context) error {
	for _, typ := range []string{"DocumentReference", "DiagnosticReport"} {
		r, err := a.send(ctx, request{target: "/" + typ})
		if err != nil {
			return err
		}
		for _, m := range handleURL.FindAllStringSubmatch(r.body, maxFiles) {
			a.handles = append(a.handles, strings.TrimPrefix(m[1], a.o.Base))
		}
	}
	return nil
}

// opened says whether an answer gives a file.
func opened(r reply) string {
	if r.status < http.StatusBadRequest {
		return "an answer to a link that was tampered with"
	}
	return ""
}

// tampered are the own links, changed: nothing of them may open, whatever it
// leads to.
func tampered(a *attack) []request {
	handles := slices.Clone(a.handles[:min(3, len(a.handles))])
	if len(handles) == 0 {
		handles = []string{"/Binary/_" + strings.Repeat("A", 120)}
	}
	var out []request
	for _, h := range handles {
		for _, at := range []int{len("/Binary/_"), len(h) / 4, len(h) / 2, len(h) - 2} {
			if at >= len(h) {
				continue
			}
			other := byte('A')
			if h[at] == 'A' {
				other = 'B'
			}
			out = append(out, request{target: h[:at] + string(other) + h[at+1:], check: opened})
		}
		for _, t := range []string{h[:len(h)-1], h + "A", h + "=", h + "/x", h + "/_history/1", strings.Replace(h, "/Binary/_", "/Binary/", 1), strings.Replace(h, "/Binary/", "/Media/", 1)} {
			out = append(out, request{target: t, check: opened})
		}
	}
	return out
}

// otherFiles are the other patient's files by every name that is known of them.
func otherFiles(a *attack) []request {
	var out []request
	for _, u := range a.victim.attachments[:min(maxFiles, len(a.victim.attachments))] {
		path := u
		if parsed, err := url.Parse(u); err == nil {
			path = strings.TrimPrefix(parsed.EscapedPath(), "/")
			if i := strings.Index(path, "Binary/"); i >= 0 {
				path = path[i:]
			} else if i := strings.Index(path, "documents/"); i >= 0 {
				path = path[i:]
			}
		}
		id := binaryOf(u)
		sealed := base64.RawURLEncoding.EncodeToString([]byte(u))
		out = append(out, get("/%s", path), get("/Binary/%s", id), get("/Binary/_%s", id), get("/Binary/_%s", sealed), get("/Binary/%s/_history/1", id))
		for _, accept := range []string{"application/pdf", "text/plain", "*/*", "image/*, */*;q=0.1", "application/octet-stream"} {
			out = append(out, request{target: "/Binary/" + id, header: http.Header{"Accept": {accept}}})
		}
		out = append(out, request{target: "/Binary/" + id, header: http.Header{"Accept": {"application/pdf"}, "Range": {"bytes=0-9999999"}}},
			request{method: http.MethodHead, target: "/Binary/" + id, header: http.Header{"Accept": {"application/pdf"}}, check: notThere})
		for _, h := range a.handles[:min(1, len(a.handles))] {
			out = append(out, get("%s?url=%s", h, url.QueryEscape(u)), get("%s/../%s", h, id), get("%s%%2f..%%2f%s", h, id), get("%s/%s", h, id))
		}
	}
	return append(out, get("/Binary"), get("/Binary?_id=x"))
}

func notThere(r reply) string {
	if r.status < http.StatusBadRequest {
		return "that a file exists"
	}
	return ""
}

// labels looks for what the other patient's labels mark, and for what of the own
// record the health system withholds by its label.
func labels(a *attack) []request {
	out := a.eachType(func(typ string) []request {
		return []request{
			get("/%s?_security=%s", typ, url.QueryEscape("http://terminology.hl7.org/CodeSystem/v3-Confidentiality|R")),
			get("/%s?_security:not=N&patient=%s", typ, a.o.Not), get("/%s?_tag=x&subject=Patient/%s", typ, a.o.Not),
		}
	})
	for _, name := range a.own.withheld {
		typ, id, _ := strings.Cut(name, "/")
		gives := func(r reply) string {
			if strings.Contains(r.body, fmt.Sprintf("%q", id)) || strings.Contains(r.body, name) {
				return "what its label withholds"
			}
			return ""
		}
		for _, target := range []string{"/" + name, "/" + typ + "?_id=" + id, "/" + typ, "/" + typ + "?_revinclude=Provenance:target", "/" + name + "/_history", "/Provenance?target=" + name, "/Patient/" + a.o.As + "/" + typ} {
			out = append(out, request{target: target, check: gives})
		}
	}
	return out
}
