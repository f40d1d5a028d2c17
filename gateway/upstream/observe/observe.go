// Package observe owns what is counted of how an EHR answers: it stands around the
// HTTP transport of a source and counts, times and traces each attempt. It changes
// no request and no answer, and nothing of a URL beyond the kind of call and the
// resource type is looked at.
package observe

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/internal/telemetry"
)

// Options configures a Transport.
type Options struct {
	Source    string // id of the source
	Base      fhir.Base
	Next      http.RoundTripper
	IsType    func(string) bool // says which names are FHIR resource types
	Telemetry *telemetry.Telemetry
	Now       func() time.Time // time.Now when nil
}

// Transport is an http.RoundTripper that watches another one.
type Transport struct{ o Options }

var _ http.RoundTripper = (*Transport)(nil)

// New watches o.Next.
func New(o Options) (*Transport, error) {
	if o.Source == "" || o.Next == nil || o.IsType == nil || o.Base == (fhir.Base{}) {
		return nil, errors.New("observe: Source, Base, Next and IsType are required")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Transport{o: o}, nil
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	kind, typ := t.kind(r)
	call := telemetry.Call{Source: t.o.Source, Kind: kind, Type: typ}
	ctx, end := t.o.Telemetry.Calling(r.Context(), call)
	if ctx != r.Context() {
		r = r.WithContext(ctx)
	}
	began := t.o.Now()
	resp, err := t.o.Next.RoundTrip(r)
	took := t.o.Now().Sub(began)
	if err != nil {
		call.Failed = why(ctx, err)
	} else {
		call.Status = resp.StatusCode
	}
	t.o.Telemetry.Called(ctx, call, took)
	reqctx.From(ctx).Upstream(took)
	if err != nil {
		end(call, 0)
		return nil, err //nolint:wrapcheck // a RoundTripper passes errors on as they are
	}
	resp.Body = &body{readCloser: resp.Body, done: func(n int64) {
		t.o.Telemetry.Received(ctx, call.Source, n)
		end(call, n)
	}}
	return resp, nil
}

// CloseIdleConnections lets http.Client close those of the watched transport.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.o.Next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func why(ctx context.Context, err error) string {
	var timeout net.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return telemetry.GivenUp
	case errors.As(err, &timeout) && timeout.Timeout():
		return telemetry.TimedOut
	}
	return telemetry.Unreachable
}

// kind tells from method and shape of the path what is asked.
func (t *Transport) kind(r *http.Request) (kind, typ string) {
	relative, below := t.o.Base.Relative(r.URL.Scheme + "://" + r.URL.Host + r.URL.EscapedPath())
	if !below {
		if r.Method == http.MethodGet && r.URL.Query().Has("_getpages") {
			return "page", ""
		}
		return "file", "" // an attachment elsewhere
	}
	parts := strings.Split(relative, "/")
	if t.o.IsType(parts[0]) {
		typ = parts[0]
	}
	last := parts[len(parts)-1]
	switch {
	case parts[0] == "metadata":
		return "metadata", ""
	case strings.HasPrefix(last, "$"):
		return "operation", typ
	case r.Method == http.MethodPost && last == "_search":
		return "search", typ
	case r.Method == http.MethodPost:
		return "create", typ
	case r.Method == http.MethodPut:
		return "update", typ
	case r.Method == http.MethodDelete:
		return "delete", typ
	case len(parts) == 4 && parts[2] == "_history":
		return "vread", typ
	case last == "_history":
		return "history", typ
	case typ == "Binary" && len(parts) == 2:
		return "file", typ
	case typ != "" && len(parts) == 1:
		return "search", typ
	case typ != "" && len(parts) == 2:
		return "read", typ
	}
	return "page", typ
}

// body counts what is read, and tells it once.
type body struct {
	readCloser io.ReadCloser
	n          int64
	once       sync.Once
	done       func(int64)
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.readCloser.Read(p)
	b.n += int64(n)
	return n, err //nolint:wrapcheck // an io.Reader passes errors on as they are
}

// Close implements io.Closer.
func (b *body) Close() error {
	err := b.readCloser.Close()
	b.once.Do(func() { b.done(b.n) })
	return err //nolint:wrapcheck // as above
}
