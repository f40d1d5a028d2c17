package gateway

import (
	"context"
	"io"
	"maps"
	"net/url"
	"slices"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

// narrowed notes how the plans hold a request inside the record, and what became
// of its parameters.
func (t *trace) narrowed(x *exchange) {
	if t == nil || x.depth > 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range x.plans {
		t.e.Narrowing = append(t.e.Narrowing, narrowing(p))
	}
	if len(x.plans) == 1 && x.ask.Interaction == guard.Search {
		t.parameters(x.ask.Query, sentBy(x.plans[0]))
	}
}

func narrowing(p *guard.Plan) ExplainedNarrowing {
	out := ExplainedNarrowing{Type: known(p.Ask.Type), Class: className(p.Rule.Class), How: "search", Partial: p.Partial, CountOnly: p.CountOnly}
	if len(p.Calls) == 0 {
		out.How = "nothing"
		return out
	}
	for _, c := range p.Calls[1:] {
		out.Union = append(out.Union, c.Added)
	}
	sent := names(p.Calls[0].Query)
	switch {
	case p.Calls[0].ID != "":
		out.How = "direct"
	case p.Rule.Class == compartment.Self:
		out.By = "_id"
	case p.Rule.Class == compartment.Directory:
		out.How = "open"
	default:
		for _, name := range p.Rule.Narrow {
			if slices.Contains(sent, name) {
				out.By = name
				return out
			}
		}
		out.How, out.Anchors = "anchor", p.Rule.Anchors
	}
	return out
}

// sentBy are the names of all parameters that the calls of a plan hold.
func sentBy(p *guard.Plan) []string {
	var out []string
	for _, c := range p.Calls {
		out = append(out, names(c.Query)...)
	}
	return out
}

// names gives the parameters of a query that we printed.
func names(query string) []string {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(values))
}

// parameters notes those of a search.
func (t *trace) parameters(q search.Query, sent []string) {
	for _, p := range q.Params {
		name := p.Definition.Name
		if p.Modifier != "" {
			name += ":" + p.Modifier
		}
		became := "replaced"
		if slices.Contains(sent, name) {
			became = "sent"
		}
		t.e.Parameters = append(t.e.Parameters, ExplainedParameter{
			Name: p.Definition.Name, Kind: string(p.Definition.Kind), Modifier: p.Modifier, Values: len(p.Values), Became: became,
		})
	}
	for _, c := range []struct {
		name   string
		values int
		given  bool
	}{
		{"_include", len(q.Include), len(q.Include) > 0}, {"_revinclude", len(q.RevInclude), len(q.RevInclude) > 0},
		{"_sort", len(q.Sort), len(q.Sort) > 0}, {"_count", 1, q.Count >= 0}, {"_elements", len(q.Elements), len(q.Elements) > 0},
		{"_summary", 1, q.Summary != ""}, {"_total", 1, q.Total != ""},
	} {
		if !c.given {
			continue
		}
		became := "here"
		if slices.ContainsFunc(sent, func(n string) bool { return n == c.name || n == c.name+":iterate" }) {
			became = "sent"
		}
		t.e.Parameters = append(t.e.Parameters, ExplainedParameter{Name: c.name, Values: c.values, Became: became})
	}
	for _, name := range q.Ignored {
		t.e.Parameters = append(t.e.Parameters, ExplainedParameter{Name: knownParameter(q.Type, name), Became: "dropped"})
	}
}

func className(c compartment.Class) string {
	switch c {
	case compartment.Self:
		return "self"
	case compartment.Own:
		return "own"
	case compartment.Shared:
		return "shared"
	case compartment.Directory:
		return "directory"
	case compartment.Through:
		return "through"
	case compartment.Reached:
		return "reached"
	case compartment.Closed:
	}
	return "closed"
}

// watch gives an upstream whose calls are noted; the same one when nobody asked.
func (t *trace) watch(up upstream.Reader, proof bool) upstream.Reader {
	if t == nil {
		return up
	}
	if r, ok := up.(*tracedReader); ok {
		up = r.up
	}
	return &tracedReader{up: up, t: t, proof: proof}
}

// tracedReader notes what an upstream is asked.
type tracedReader struct {
	up    upstream.Reader
	t     *trace
	proof bool
}

var _ upstream.Reader = (*tracedReader)(nil)

// Read implements upstream.Reader.
func (r *tracedReader) Read(ctx context.Context, typ, id string) (*upstream.Answer, error) {
	return r.note("read", typ, nil, func() (*upstream.Answer, error) { return r.up.Read(ctx, typ, id) })
}

// Search implements upstream.Reader.
func (r *tracedReader) Search(ctx context.Context, typ, query string) (*upstream.Answer, error) {
	return r.note("search", typ, names(query), func() (*upstream.Answer, error) { return r.up.Search(ctx, typ, query) })
}

// Next implements upstream.Reader. The names in the EHR's own link are its words.
func (r *tracedReader) Next(ctx context.Context, link string) (*upstream.Answer, error) {
	return r.note("page", "", nil, func() (*upstream.Answer, error) { return r.up.Next(ctx, link) })
}

// Capabilities implements upstream.Reader; what it gives is mostly kept.
func (r *tracedReader) Capabilities(ctx context.Context) (*upstream.Capabilities, error) {
	return r.up.Capabilities(ctx) //nolint:wrapcheck // it stands for the upstream
}

func (r *tracedReader) note(kind, typ string, params []string, ask func() (*upstream.Answer, error)) (*upstream.Answer, error) {
	return r.t.asked(ExplainedCall{Kind: kind, Type: typ, Parameters: params, Proof: r.proof}, ask)
}

// asked notes a question to the upstream that does not go through its Reader.
func (x *exchange) asked(kind, typ string, ask func() (*upstream.Answer, error)) (*upstream.Answer, error) {
	if x.trace == nil {
		return ask()
	}
	return x.trace.asked(ExplainedCall{Kind: kind, Type: typ, Proof: x.depth > 0}, ask)
}

// opened notes a file that was asked for.
func (x *exchange) opened(ask func() (*upstream.File, error)) (*upstream.File, error) {
	if x.trace == nil {
		return ask()
	}
	var got *upstream.File
	answer, err := x.trace.asked(ExplainedCall{Kind: "file"}, func() (*upstream.Answer, error) {
		var err error
		if got, err = ask(); err != nil {
			return nil, err
		}
		return &upstream.Answer{Body: got.Body}, nil
	})
	if err != nil {
		return nil, err
	}
	got.Body = answer.Body // whose bytes are counted
	return got, nil
}

func (t *trace) asked(about ExplainedCall, ask func() (*upstream.Answer, error)) (*upstream.Answer, error) {
	began := t.now()
	answer, err := ask()
	call := &ExplainedCall{Kind: about.Kind, Type: known(about.Type), Parameters: about.Parameters, Proof: about.Proof, Result: "ok", Milliseconds: milliseconds(t.now().Sub(began))}
	if err != nil {
		call.Result = fault.KindOf(err).String()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	call.Number = len(t.e.Upstream) + 1
	if call.Number > maxListed {
		t.e.LeftOut++
	} else {
		t.e.Upstream = append(t.e.Upstream, call)
	}
	if err != nil {
		return nil, err
	}
	answer.Body = &tracedBody{ReadCloser: answer.Body, t: t, call: call}
	return answer, nil
}

// tracedBody counts what is read of an answer.
type tracedBody struct {
	io.ReadCloser
	t    *trace
	call *ExplainedCall
}

// Read implements io.Reader.
func (b *tracedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	b.call.Bytes += int64(n)
	return n, err //nolint:wrapcheck // an io.Reader passes errors on as they are
}

// from gives the call that an answer belongs to, nil when nobody asked.
func from(answer *upstream.Answer) *ExplainedCall {
	if b, ok := answer.Body.(*tracedBody); ok {
		return b.call
	}
	return nil
}
