package explain

import (
	"context"
	"io"
	"time"

	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

// Watch gives an upstream whose calls are noted; the same one when nobody asked.
func (t *Trace) Watch(up upstream.Reader, proof bool) upstream.Reader {
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
	t     *Trace
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
	return r.t.asked(Call{Kind: kind, Type: typ, Parameters: params, Proof: r.proof}, ask)
}

// Asked notes a question to the upstream that does not go through its Reader.
func (t *Trace) Asked(kind, typ string, proof bool, ask func() (*upstream.Answer, error)) (*upstream.Answer, error) {
	if t == nil {
		return ask()
	}
	return t.asked(Call{Kind: kind, Type: typ, Proof: proof}, ask)
}

// Opened notes a file that was asked for.
func (t *Trace) Opened(ask func() (*upstream.File, error)) (*upstream.File, error) {
	if t == nil {
		return ask()
	}
	var got *upstream.File
	answer, err := t.asked(Call{Kind: "file"}, func() (*upstream.Answer, error) {
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

// Made notes a change that the upstream was asked for. The bytes that come back
// with it are not counted.
func (t *Trace) Made(kind, typ string, ask func() error) error {
	if t == nil {
		return ask()
	}
	began := t.now()
	err := ask()
	t.called(Call{Kind: kind, Type: typ}, began, err)
	return err
}

func (t *Trace) asked(about Call, ask func() (*upstream.Answer, error)) (*upstream.Answer, error) {
	began := t.now()
	answer, err := ask()
	call := t.called(about, began, err)
	if err != nil {
		return nil, err
	}
	answer.Body = &tracedBody{ReadCloser: answer.Body, t: t, call: call}
	return answer, nil
}

// called adds a call that began then and has ended now.
func (t *Trace) called(about Call, began time.Time, err error) *Call {
	call := &Call{Kind: about.Kind, Type: known(about.Type), Parameters: about.Parameters, Proof: about.Proof, Result: "ok", Milliseconds: milliseconds(t.now().Sub(began))}
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
	return call
}

// tracedBody counts what is read of an answer.
type tracedBody struct {
	io.ReadCloser
	t    *Trace
	call *Call
}

// Read implements io.Reader.
func (b *tracedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	b.call.Bytes += int64(n)
	return n, err //nolint:wrapcheck // an io.Reader passes errors on as they are
}

// CallOf gives the call that an answer belongs to, nil when nobody asked.
func CallOf(answer *upstream.Answer) *Call {
	if b, ok := answer.Body.(*tracedBody); ok {
		return b.call
	}
	return nil
}
