package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portico-fhir/portico/gateway/explain"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// There are two ways to an Explanation. Explain lets a request go the whole way
// and throws the answer away. With a ticket in ExplainHeader an app's own request
// is answered as ever, and its Explanation waits for the operator: the app gets
// nothing that it would not get without.

// ExplainHeader carries a ticket that Ticket made.
const ExplainHeader = "Portico-Explain"

const ticketLife = 15 * time.Minute // of a ticket, at most

// ExplainRequest is a request as an app would send it.
type ExplainRequest struct {
	Source string
	Method string // GET, HEAD, or POST of a _search
	Path   string // below the FHIR base, with the query, such as /Observation?code=x
	Header http.Header
	Body   string // of a _search
	Token  string // the bearer token
}

// explainable are the headers that a request may have; the token stands apart.
var explainable = []string{"Accept", "Content-Type", "If-Modified-Since", "If-None-Match", "Prefer", "Cache-Control"}

// Explain lets a request go the way of every other and tells how it was decided.
// Of the answer nothing is kept. It is in the audit as explained, under the id of
// ctx's request. What changes a record is refused with a fault of kind
// Unsupported, since it would be done.
func (g *Gateway) Explain(ctx context.Context, q ExplainRequest) (explain.Explanation, error) {
	src, known := g.sources[q.Source]
	if !known {
		return explain.Explanation{}, fault.New(fault.NotFound, "There is no such source.")
	}
	r, err := q.request(ctx, src)
	if err != nil {
		return explain.Explanation{}, err
	}
	session := explain.NewSession(g.now, true)
	serveDiscarding(http.HandlerFunc(g.route), r.WithContext(session.In(r.Context())))
	traces := session.Explanations()
	if len(traces) == 0 {
		return explain.Explanation{}, fault.New(fault.Invalid, "This URL asks for no record, so there is nothing to explain.")
	}
	return traces[0], nil
}

func (q ExplainRequest) request(ctx context.Context, src *source) (*http.Request, error) {
	path, query, _ := strings.Cut(q.Path, "?")
	search := q.Method == http.MethodPost && strings.HasSuffix(path, "/_search")
	switch {
	case q.Method != http.MethodGet && q.Method != http.MethodHead && !search:
		return nil, fault.New(fault.Unsupported, "Only GET, HEAD and POST of a _search can be explained here: anything else would be done. Give the app a ticket instead.")
	case !strings.HasPrefix(path, "/"):
		return nil, fault.New(fault.Invalid, "The path must begin with a slash; it is relative to the FHIR base of the source.")
	}
	target, err := url.ParseRequestURI("/fhir/" + src.ID + path)
	if err != nil {
		return nil, fault.New(fault.Invalid, "The path is not well formed.")
	}
	target.RawQuery = query
	r, err := http.NewRequestWithContext(ctx, q.Method, target.String(), strings.NewReader(q.Body))
	if err != nil {
		return nil, fault.New(fault.Invalid, "The request is not well formed.")
	}
	r.URL = target
	for name, values := range q.Header {
		name = http.CanonicalHeaderKey(name)
		if !slices.Contains(explainable, name) {
			return nil, fault.New(fault.Invalid, "These headers can be given: %s.", strings.Join(explainable, ", "))
		}
		r.Header[name] = values
	}
	if q.Token != "" {
		r.Header.Set("Authorization", "Bearer "+q.Token)
	}
	return r, nil
}

// serveDiscarding lets a handler answer to nobody. A handler that breaks its
// connection ends as it would in front of an app.
func serveDiscarding(h http.Handler, r *http.Request) {
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler { //nolint:errorlint // a sentinel that is panicked with, never wrapped
			panic(v)
		}
	}()
	h.ServeHTTP(&nowhere{header: http.Header{}}, r)
}

// nowhere is an http.ResponseWriter that keeps nothing.
type nowhere struct{ header http.Header }

// Header implements http.ResponseWriter.
func (n *nowhere) Header() http.Header { return n.header }

// WriteHeader implements http.ResponseWriter.
func (n *nowhere) WriteHeader(int) {}

// Write implements http.ResponseWriter.
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }

// ticketState is what a sealed ticket holds.
type ticketState struct {
	Expires int64 `json:"e"` // Unix seconds
}

func ticketBound(source string) string { return "explain\x00" + source }

// Ticket makes a ticket for a source, good for life, which is 15 minutes at most:
// with it in ExplainHeader the Explanations of requests wait under their request
// ids. Whoever holds it can do nothing else with it.
func (g *Gateway) Ticket(source string, life time.Duration) (string, error) {
	if _, known := g.sources[source]; !known {
		return "", fault.New(fault.NotFound, "There is no such source.")
	}
	if g.tickets == nil {
		return "", fault.New(fault.Unsupported, "Tickets are not available here.")
	}
	if life <= 0 || life > ticketLife {
		return "", fault.New(fault.Invalid, "A ticket is good for up to %d minutes.", int(ticketLife.Minutes()))
	}
	raw, err := json.Marshal(ticketState{Expires: g.now().Add(life).Unix()})
	if err != nil {
		return "", fmt.Errorf("gateway: ticket: %w", err)
	}
	return g.tickets.SealText(raw, ticketBound(source)), nil
}

// ticketed says whether a request brings a ticket that is good for the source.
// One that is not is no error: it changes nothing of the answer.
func (g *Gateway) ticketed(r *http.Request, src *source) bool {
	given := r.Header[ExplainHeader]
	if len(given) != 1 || g.tickets == nil {
		return false
	}
	raw, err := g.tickets.OpenText(given[0], ticketBound(src.ID))
	if err != nil {
		return false
	}
	var state ticketState
	return json.Unmarshal(raw, &state) == nil && g.now().Unix() < state.Expires
}

// explained serves a request with a ticket as ever and keeps its Explanations.
func (g *Gateway) explained(serve handler.Func) handler.Func {
	return func(w http.ResponseWriter, r *http.Request) error {
		session := explain.NewSession(g.now, false)
		defer func() { g.waiting.Keep(reqctx.ID(r.Context()), session.Explanations(), g.now()) }()
		return serve(w, r.WithContext(session.In(r.Context())))
	}
}

// Explanations gives those of a request that was made with a ticket, one for each
// entry of a batch; none when there are none (any more).
func (g *Gateway) Explanations(request string) []explain.Explanation {
	return g.waiting.Of(request, g.now())
}
