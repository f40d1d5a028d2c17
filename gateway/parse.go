package gateway

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
)

const (
	maxQuery = 16 << 10 // bytes of a query string or a _search body
	pageName = "_page"  // our own parameter: a sealed paging handle
)

// parse is step 2: the request becomes one typed interaction. Names are decoded
// once; what is not understood is refused and never forwarded.
func (g *Gateway) parse(x *exchange, r *http.Request, path string) error {
	x.at("parse")
	if err := refuseOverrides(r); err != nil {
		return err
	}
	segments, err := splitPath(path)
	if err != nil {
		return err
	}
	if is, err := g.parseFile(x, r, segments); is || err != nil {
		return err
	}
	if err := acceptsJSON(r.Header.Values("Accept")); err != nil {
		return err
	}
	if len(segments) == 0 || segments[0] == "" {
		return fault.New(fault.MethodNotAllowed, "System-level interactions are not available; ask for one resource type.")
	}
	if op, found := operationAt(segments); found {
		return g.parseOperation(x, r, op, segments)
	}
	if isAnyType(segments) {
		return g.parseAnyType(x, r, segments)
	}
	if segments, err = outOfCompartment(x, segments); err != nil {
		return err
	}
	typ := segments[0]
	if !search.IsResourceType(typ) {
		return notAType(typ)
	}
	x.ask.Type, x.event.Type, x.place = typ, typ, typ
	switch {
	case isVersions(segments):
		return g.parseVersions(x, r, segments)
	case len(segments) == 1 && isGet(r):
		return g.parseSearch(x, r, nil)
	case len(segments) == 2 && segments[1] == "_search" && r.Method == http.MethodPost:
		body, err := formBody(r)
		if err != nil {
			return err
		}
		return g.parseSearch(x, r, body)
	case len(segments) == 2 && segments[1] != "_search" && !notAnID(segments[1]) && isGet(r):
		return parseRead(x, r, segments[1])
	case len(segments) > 2, len(segments) == 2 && notAnID(segments[1]):
		return fault.New(fault.Unsupported, "This interaction is not available; read, search, the versions of a resource and a few operations are.")
	}
	return fault.New(fault.MethodNotAllowed, "%s is not available here; records can be read and searched.", r.Method)
}

// outOfCompartment turns Patient/{id}/{type} into {type}: every search is held
// inside the token's patient anyway. Any other patient's compartment looks like
// one that does not exist (R4 http, section 3.2.1.2).
func outOfCompartment(x *exchange, segments []string) ([]string, error) {
	if len(segments) < 3 || segments[0] != "Patient" || !search.IsResourceType(segments[2]) {
		return segments, nil
	}
	if segments[1] != x.who.Patient {
		return nil, fault.New(fault.NotFound, "Not found.")
	}
	if len(segments) > 3 && segments[3] != "_search" {
		return nil, fault.New(fault.NotFound, "Not found.")
	}
	return segments[2:], nil
}

// notAnID tells an operation or the history of a type from an id.
func notAnID(segment string) bool { return strings.HasPrefix(segment, "$") || segment == "_history" }

func isGet(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// notAType tells operations and history on the system level from names that
// mean nothing.
func notAType(name string) error {
	if strings.HasPrefix(name, "$") || strings.HasPrefix(name, "_") {
		return fault.New(fault.MethodNotAllowed, "System-level interactions are not available; ask for one resource type.")
	}
	return fault.New(fault.NotFound, "There is no such resource type in FHIR R4.")
}

// splitPath decodes each segment once. A segment that decodes to something with
// a slash, or an empty one in the middle, names nothing.
func splitPath(path string) ([]string, error) {
	segments := strings.Split(strings.TrimSuffix(path, "/"), "/")
	for i, s := range segments {
		decoded, err := url.PathUnescape(s)
		if err != nil {
			return nil, fault.New(fault.Invalid, "The path is not well formed.")
		}
		if i > 0 && decoded == "" || strings.ContainsAny(decoded, "/\\;\x00") {
			return nil, fault.New(fault.NotFound, "Not found.")
		}
		segments[i] = decoded
	}
	return segments, nil
}

// refuseOverrides: a method that is not the method is an attempt to get past
// something (docs/pitfalls.md 16).
func refuseOverrides(r *http.Request) error {
	for _, h := range []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"} {
		if r.Header.Get(h) != "" {
			return fault.New(fault.Invalid, "Method override headers are not accepted.")
		}
	}
	return nil
}

// acceptsJSON: JSON is the only format here (R4 http, section 3.1.0.1.11).
func acceptsJSON(accept []string) error {
	if len(accept) == 0 {
		return nil
	}
	for _, one := range strings.Split(strings.Join(accept, ","), ",") {
		media, params, err := mime.ParseMediaType(strings.TrimSpace(one))
		if err != nil || params["q"] == "0" {
			continue
		}
		if media == "*/*" || media == "application/*" || fhir.IsJSON(media) {
			return nil
		}
	}
	return fault.New(fault.NotAcceptable, "Only JSON is available: send Accept: application/fhir+json.")
}

func parseRead(x *exchange, r *http.Request, id string) error {
	if !fhir.ValidID(id) {
		return fault.New(fault.NotFound, "Not found.") // as for an id that is not there
	}
	if err := x.parseReadOptions(r); err != nil {
		return err
	}
	x.ask.Interaction, x.ask.ID = guard.Read, id
	x.event.Interaction, x.event.ResourceID = string(guard.Read), id
	x.log.SetInteraction(string(guard.Read))
	return nil
}

func acceptsFormat(value string) error {
	if value == "json" {
		return nil
	}
	// "+" of application/fhir+json arrives as a space when it was not encoded.
	return acceptsJSON([]string{strings.ReplaceAll(value, " ", "+")})
}

func (g *Gateway) parseSearch(x *exchange, r *http.Request, body []search.Pair) error {
	x.ask.Interaction = guard.Search
	x.event.Interaction = string(guard.Search)
	x.log.SetInteraction(string(guard.Search))
	if len(r.URL.RawQuery) > maxQuery {
		return fault.New(fault.TooLarge, "The query is too long.")
	}
	pairs, resumed, err := g.asked(x, r, body)
	if err != nil {
		return err
	}
	return g.understand(x, pairs, resumed || !lenient(r))
}

// asked gives what a request asks in its URL and its body, or what stands behind
// the paging link that it follows.
func (g *Gateway) asked(x *exchange, r *http.Request, body []search.Pair) (pairs []search.Pair, resumed bool, err error) {
	pairs, err = search.ParsePairs(r.URL.RawQuery)
	if err != nil {
		return nil, false, searchFault(err)
	}
	if pairs, err = merge(pairs, body); err != nil {
		return nil, false, err
	}
	return g.openPage(x, pairs)
}

// merge joins URL and body of a POST _search. The same name in both with other
// values is refused: upstreams disagree on which one counts (docs/pitfalls.md 11).
func merge(inURL, inBody []search.Pair) ([]search.Pair, error) {
	out := slices.Clone(inURL)
	for _, p := range inBody {
		if slices.Contains(inURL, p) {
			continue
		}
		if slices.ContainsFunc(inURL, func(u search.Pair) bool { return u.Name == p.Name }) {
			return nil, fault.New(fault.Invalid, "A parameter is in the URL and in the body with different values.")
		}
		out = append(out, p)
	}
	return out, nil
}

func (g *Gateway) understand(x *exchange, pairs []search.Pair, strict bool) error {
	q, err := search.Parse(x.ask.Type, pairs, search.Options{Strict: strict, MaxCount: x.src.PageSize, Base: x.src.public})
	if err != nil {
		return searchFault(err)
	}
	x.ask.Query, x.ignored = q, q.Ignored
	var names []string
	for _, p := range q.Params {
		names = append(names, p.Definition.Name)
	}
	slices.Sort(names)
	x.event.Query = strings.Join(slices.Compact(names), ",")
	return x.setView(q)
}

// lenient follows R4 http section 3.1.0.1.5: unknown parameters are dropped
// with a warning when the app asks for it, and refused otherwise.
func lenient(r *http.Request) bool { return prefer(r, "handling") == "lenient" }

func formBody(r *http.Request) ([]search.Pair, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, fault.New(fault.UnsupportedMedia, "A _search body must be application/x-www-form-urlencoded.")
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxQuery+1))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "The body could not be read.")
	}
	if len(raw) > maxQuery {
		return nil, fault.New(fault.TooLarge, "The body of a search may have %d KiB at most.", maxQuery>>10)
	}
	pairs, err := search.ParsePairs(string(raw))
	if err != nil {
		return nil, searchFault(err)
	}
	return pairs, nil
}

// searchFault passes on what the parser says, which names parameters and never
// values.
func searchFault(err error) error {
	var understood *search.Error
	if errors.As(err, &understood) {
		return fault.Wrap(understood, fault.Invalid, strings.TrimPrefix(understood.Error(), "search: "))
	}
	return fault.Wrap(err, fault.Invalid, "The query is not well formed.")
}
