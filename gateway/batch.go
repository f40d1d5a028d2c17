package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/reqctx"
)

const (
	maxBatchBody    = 1 << 20  // bytes of a batch as it is sent
	maxBatchEntries = 50       // requests in one batch
	maxBatchAnswer  = 16 << 20 // bytes of all answers together, which are held in memory
)

// batch serves POST on the base (R4 http, section 3.1.0.11): each entry is a
// request of its own, which goes the whole path like any other and is audited
// like any other. What one entry may not see does not depend on its neighbours.
func (g *Gateway) batch(w http.ResponseWriter, r *http.Request, src *source) error {
	// The token first: without a good one not even the Bundle is read.
	if err := g.authenticate(g.begin(r, src), r); err != nil {
		return err
	}
	entries, err := readBatch(r)
	if err != nil {
		return err
	}
	serve := handler.Adapt(func(w http.ResponseWriter, r *http.Request) error {
		path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
		return g.serve(w, r, src, path)
	}, writeOutcome)
	out := []byte(`{"resourceType":"Bundle","type":"batch-response","entry":[`)
	for i, entry := range entries {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendAnswer(out, g.one(serve, r, src, entry, maxBatchAnswer-len(out)))
	}
	out = append(out, `]}`...)
	// The line in the log is the batch's; each entry has its own audit event.
	log := reqctx.From(r.Context())
	log.SetInteraction("batch")
	log.SetType("Bundle")
	w.Header().Set("Content-Type", fhir.JSON)
	w.Header().Set("Cache-Control", "no-store")
	_, err = w.Write(out)
	return gone(err)
}

// readBatch gives the entries of a well-formed batch.
func readBatch(r *http.Request) ([]fhir.Node, error) {
	if err := refuseOverrides(r); err != nil {
		return nil, err
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != fhir.JSON && media != "application/json" {
		return nil, fault.New(fault.UnsupportedMedia, "A batch must be sent as application/fhir+json.")
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBatchBody+1))
	switch {
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "The body could not be read.")
	case len(raw) > maxBatchBody:
		return nil, fault.New(fault.TooLarge, "A batch may have %d MiB at most.", maxBatchBody>>20)
	}
	bundle, err := fhir.ParseResource(raw)
	if err != nil || bundle.Type() != "Bundle" {
		return nil, fault.New(fault.Invalid, "The body is not a FHIR Bundle in well-formed JSON.")
	}
	if bundle.Root().Get("type").Text() != "batch" {
		return nil, fault.New(fault.Unsupported, "Only Bundles of type batch are accepted here; transactions are not.")
	}
	var entries []fhir.Node
	for e := range bundle.Root().At("entry") {
		entries = append(entries, e)
	}
	if len(entries) == 0 || len(entries) > maxBatchEntries {
		return nil, fault.New(fault.Invalid, "A batch holds between 1 and %d requests.", maxBatchEntries)
	}
	return entries, nil
}

// one answers one entry. Only the bearer token travels from the outer request.
func (g *Gateway) one(serve http.Handler, outer *http.Request, src *source, entry fhir.Node, room int) *answer {
	a := &answer{header: http.Header{}, room: room}
	inner, err := entryRequest(outer, src, entry)
	if err != nil {
		writeOutcome(a, outer, err)
		return a
	}
	a.serve(serve, inner)
	if a.full {
		whole := &answer{header: http.Header{}, room: maxBatchBody}
		writeOutcome(whole, outer, fault.New(fault.TooLarge, "The answers of the batch are too large together; ask for this one alone."))
		return whole
	}
	return a
}

// entryRequest makes the request that an entry stands for. Only GET has no body;
// references from one entry to another cannot be resolved, since each is done
// alone, and are refused where resources are read.
func entryRequest(outer *http.Request, src *source, entry fhir.Node) (*http.Request, error) {
	request := entry.Get("request")
	method := request.Get("method").Text()
	var body io.Reader
	switch resource := entry.Get("resource"); method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		if resource.Exists() {
			return nil, fault.New(fault.Invalid, "An entry with GET or DELETE holds no resource.")
		}
	case http.MethodPost, http.MethodPut:
		if !resource.IsObject() {
			return nil, fault.New(fault.Invalid, "An entry with POST or PUT holds a resource.")
		}
		body = bytes.NewReader(resource.Raw())
	case http.MethodPatch:
		return nil, fault.New(fault.MethodNotAllowed, "PATCH is not available in a batch; send it alone.")
	default:
		return nil, fault.New(fault.MethodNotAllowed, "Only GET, POST, PUT and DELETE are available in a batch.")
	}
	target := request.Get("url").Text()
	if relative, ours := src.public.Relative(target); ours {
		target = relative
	}
	// What is left must be relative to the base: no scheme, no host, no way up.
	u, err := url.Parse("/" + target)
	if err != nil || strings.HasPrefix(target, "/") || strings.Contains(target, "//") || u.Fragment != "" {
		return nil, fault.New(fault.Invalid, "The url of an entry must be relative to this FHIR base.")
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	inner, err := http.NewRequestWithContext(outer.Context(), method, u.String(), body)
	if err != nil {
		return nil, fault.New(fault.Invalid, "The url of an entry must be relative to this FHIR base.")
	}
	if method == http.MethodPost && !changes(inner, strings.TrimPrefix(inner.URL.EscapedPath(), "/")) {
		return nil, fault.New(fault.MethodNotAllowed, "An entry with POST creates a resource; searches are sent with GET.")
	}
	inner.Header["Authorization"] = outer.Header["Authorization"]
	inner.Header["Prefer"] = outer.Header["Prefer"]
	inner.Header.Set("Accept", fhir.JSON) // a file stands in a Bundle as a Binary
	if body != nil {
		inner.Header.Set("Content-Type", fhir.JSON)
	}
	for member, header := range map[string]string{"ifNoneMatch": "If-None-Match", "ifMatch": "If-Match", "ifNoneExist": "If-None-Exist"} {
		if text := request.Get(member).Text(); text != "" {
			inner.Header.Set(header, text)
		}
	}
	if since, err := time.Parse(time.RFC3339Nano, request.Get("ifModifiedSince").Text()); err == nil {
		inner.Header.Set("If-Modified-Since", since.UTC().Format(http.TimeFormat))
	}
	return inner, nil
}

// answer is an http.ResponseWriter in memory with a limit.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
	room   int
	full   bool
}

var errFull = errors.New("gateway: no more room in the batch's answer")

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.body.Len()+len(b) > a.room {
		a.full = true
		return 0, errFull
	}
	return a.body.Write(b)
}

// serve runs a handler whose way of ending a broken answer is to panic.
func (a *answer) serve(h http.Handler, r *http.Request) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			a.full = true
		default:
			panic(v)
		}
	}()
	h.ServeHTTP(a, r)
}

// appendAnswer writes one entry of a batch-response: the resource when there is
// one, the outcome when it went wrong.
func appendAnswer(out []byte, a *answer) []byte {
	out = append(out, '{')
	failed := a.status >= http.StatusBadRequest
	if !failed && a.body.Len() > 0 {
		out = append(out, `"resource":`...)
		out = append(out, a.body.Bytes()...)
		out = append(out, ',')
	}
	out = append(out, `"response":{"status":`...)
	out = appendQuoted(out, fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)))
	if location := a.header.Get("Location"); location != "" {
		out = append(out, `,"location":`...)
		out = appendQuoted(out, location)
	}
	if etag := a.header.Get("ETag"); etag != "" {
		out = append(out, `,"etag":`...)
		out = appendQuoted(out, etag)
	}
	if at, err := http.ParseTime(a.header.Get("Last-Modified")); err == nil {
		out = append(out, `,"lastModified":`...)
		out = appendQuoted(out, at.UTC().Format(time.RFC3339))
	}
	if failed && a.body.Len() > 0 {
		out = append(out, `,"outcome":`...)
		out = append(out, a.body.Bytes()...)
	}
	return append(out, `}}`...)
}

// appendQuoted is for text that is known to be valid UTF-8.
func appendQuoted(out []byte, s string) []byte {
	quoted, err := jsontext.AppendQuote(out, s)
	if err != nil {
		return append(out, `""`...)
	}
	return quoted
}
