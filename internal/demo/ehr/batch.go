package ehr

import (
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/portico-fhir/portico/fhir"
)

// batch answers POST [base] with a Bundle of type batch: each entry is an
// interaction of its own, done in order, and fails alone (R4 http, section
// 3.1.0.11.1). A transaction is refused: a half-atomic one would be worse than
// none.
func (s *Server) batch(c *call) (answer, error) {
	if c.inner {
		return answer{}, refuse(http.StatusBadRequest, "not-supported", "a batch must not stand inside a batch")
	}
	if media, _, err := mime.ParseMediaType(c.header.Get("Content-Type")); err != nil || !isJSON(media) {
		return answer{}, refuse(http.StatusUnsupportedMediaType, "not-supported", "only JSON is read")
	}
	res, err := fhir.ParseResource(c.body)
	if err != nil {
		return answer{}, refuse(http.StatusBadRequest, "structure", "%s", err)
	}
	switch kind := res.Root().Get("type").Text(); {
	case res.Type() != "Bundle":
		return answer{}, refuse(http.StatusBadRequest, "invalid", "only a Bundle may be posted here")
	case kind == "transaction":
		return answer{}, refuse(http.StatusBadRequest, "not-supported", "transactions are not supported; send a batch")
	case kind != "batch":
		return answer{}, refuse(http.StatusBadRequest, "value", "Bundle.type must be batch")
	}
	out := &bundle{kind: "batch-response", total: -1}
	for entry := range res.Root().At("entry") {
		out.entries = append(out.entries, s.batchEntry(c, entry))
	}
	return answer{status: http.StatusOK, bundle: out, authored: true}, nil
}

func (s *Server) batchEntry(c *call, entry fhir.Node) bundleEntry {
	inner, err := innerCall(c, entry)
	var a answer
	if err != nil {
		a = failed(err)
	} else {
		a = s.answer(inner)
	}
	response := &entryResponse{status: a.status, location: a.header.Get("Location"), etag: a.header.Get("Etag"), modified: a.modified}
	e := bundleEntry{response: response}
	switch {
	case a.bundle != nil:
		e.resource = a.bundle.render()
	case a.authored:
		response.outcome = a.resource
	default:
		e.resource = a.resource
	}
	return e
}

// innerCall turns an entry into an interaction. Its address is below this base.
func innerCall(c *call, entry fhir.Node) (*call, error) {
	request := entry.Get("request")
	address := request.Get("url").Text()
	if relative, ok := c.at.Relative(address); ok {
		address = relative
	}
	u, err := url.Parse(address)
	if err != nil || u.IsAbs() || u.Host != "" || u.Fragment != "" {
		return nil, refuse(http.StatusBadRequest, "value", "request.url is not an address below this base")
	}
	inner := *c
	inner.inner, inner.method, inner.query = true, request.Get("method").Text(), u.RawQuery
	if inner.path, err = segments(u.EscapedPath()); err != nil {
		return nil, err
	}
	inner.body = entry.Get("resource").Raw()
	inner.header = http.Header{}
	if p := c.header.Values("Prefer"); len(p) > 0 {
		inner.header["Prefer"] = p
	}
	for name, header := range map[string]string{
		"ifMatch": "If-Match", "ifNoneMatch": "If-None-Match", "ifModifiedSince": "If-Modified-Since", "ifNoneExist": "If-None-Exist",
	} {
		if value := strings.TrimSpace(request.Get(name).Text()); value != "" {
			inner.header.Set(header, value)
		}
	}
	return &inner, nil
}
