package fhirserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/fetch"
)

var _ upstream.Writer = (*Server)(nil)

// maxWritten bounds what is read of the answer to a change; what is larger is
// taken for an answer without a body.
const maxWritten = 32 << 20

// Create implements upstream.Writer.
func (s *Server) Create(ctx context.Context, typ string, body []byte) (*upstream.Written, error) {
	return s.change(ctx, http.MethodPost, typ, "", body, "")
}

// Update implements upstream.Writer.
func (s *Server) Update(ctx context.Context, typ, id string, body []byte, ifMatch string) (*upstream.Written, error) {
	return s.change(ctx, http.MethodPut, typ, id, body, ifMatch)
}

// Delete implements upstream.Writer.
func (s *Server) Delete(ctx context.Context, typ, id, ifMatch string) (*upstream.Written, error) {
	return s.change(ctx, http.MethodDelete, typ, id, nil, ifMatch)
}

// change sends one change, once: what was sent and not answered may have been
// done, and only whoever asked can tell whether to try again.
func (s *Server) change(ctx context.Context, method, typ, id string, body []byte, ifMatch string) (*upstream.Written, error) {
	target := s.base.String() + "/" + typ
	if method != http.MethodPost {
		if !fhir.ValidID(id) {
			return nil, fault.New(fault.NotFound, "Not found.")
		}
		target += "/" + id
	}
	within, end := context.WithCancel(ctx)
	defer end()
	req, err := http.NewRequestWithContext(within, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, fault.Wrap(fmt.Errorf("fhirserver: building the request: %w", err), fault.Internal, "")
	}
	if body != nil {
		req.Header.Set("Content-Type", fhir.JSON)
		req.Header.Set("Prefer", "return=representation")
	}
	if ifMatch != "" {
		req.Header.Set("If-Match", ifMatch)
	}
	req.Header.Set("Accept", s.accept)
	req.Header.Set("User-Agent", "portico")
	req.GetBody = nil // without it net/http cannot send it a second time
	s.authorize(req)
	resp, err := s.client.Do(req) //nolint:bodyclose // closed as the answer below
	if err != nil {
		return nil, unsent(err, transportFault(ctx, err))
	}
	answer := newBody(resp.Body, s.maxBody, s.timeout, end)
	if err := s.changeFault(resp); err != nil {
		return nil, drained(resp, answer, err)
	}
	defer func() { _ = answer.Close() }()
	// A page to sign in at, given with 200, is no success.
	if media := resp.Header.Get("Content-Type"); media != "" && !s.isJSON(media) && resp.StatusCode == http.StatusOK {
		return nil, fault.Wrap(fmt.Errorf("fhirserver: %w", upstream.ErrUnreadable), fault.Upstream, "The record system gave an unusable answer.")
	}
	return s.written(resp, answer, typ, id), nil
}

// unsent marks what kept a change from leaving: a fault of our own on the way out,
// such as an EHR that is left alone, or no connection.
func unsent(cause, err error) error {
	var local *fault.Error
	var dial *net.OpError
	if !errors.As(cause, &local) && (!errors.As(cause, &dial) || dial.Op != "dial") {
		return err
	}
	return &fault.Error{Kind: fault.KindOf(err), Public: fault.PublicOf(err), RetryAfter: fault.RetryAfterOf(err), Err: errors.Join(upstream.ErrUnsent, err)}
}

// changeFault knows no more of a refused change than its status.
func (s *Server) changeFault(resp *http.Response) error {
	cause := fmt.Errorf("fhirserver: status %d", resp.StatusCode)
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusNoContent:
		return nil
	case http.StatusConflict, http.StatusPreconditionFailed:
		return fault.Wrap(cause, fault.Conflict, "The record has changed since.")
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		return fault.Wrap(cause, fault.Invalid, "The record system does not take this resource.")
	case http.StatusUnsupportedMediaType:
		return fault.Wrap(cause, fault.Unsupported, "The record system does not offer this.")
	}
	return s.statusFault(resp)
}

// written reads what the upstream says of a change it has made. Its status says
// that it was, so nothing here is an error: what cannot be understood is missing.
func (s *Server) written(resp *http.Response, body io.Reader, typ, id string) *upstream.Written {
	out := &upstream.Written{ID: id, ETag: resp.Header.Get("ETag"), LastModified: fetch.LastModified(resp.Header)}
	for _, name := range []string{"Location", "Content-Location"} {
		to, ok := s.location(resp, name)
		if !ok || to.Type != typ || id != "" && to.ID != id {
			continue
		}
		out.ID = to.ID
		if out.ETag == "" && to.Version != "" {
			out.ETag = `W/"` + to.Version + `"`
		}
	}
	r, err := s.readWritten(resp, body)
	if err != nil || r.Type() != typ || r.ID() == "" || out.ID != "" && r.ID() != out.ID {
		return out // an OperationOutcome, nothing, or something else
	}
	out.ID, out.Body = r.ID(), r.Bytes()
	if out.ETag == "" && r.VersionID() != "" {
		out.ETag = `W/"` + r.VersionID() + `"`
	}
	return out
}

// location reads a header that names the resource, absolute or relative to the
// request (RFC 9110 §10.2.2); one outside the base says nothing.
func (s *Server) location(resp *http.Response, name string) (fhir.Reference, bool) {
	text := resp.Header.Get(name)
	if text == "" {
		return fhir.Reference{}, false
	}
	to := s.base.Resolve(text)
	if to.Where != fhir.Local && strings.HasPrefix(text, "/") {
		if u, err := url.Parse(text); err == nil {
			to = s.base.Resolve(resp.Request.URL.ResolveReference(u).String())
		}
	}
	return to, to.Where == fhir.Local
}

func (s *Server) readWritten(resp *http.Response, body io.Reader) (*fhir.Resource, error) {
	if !s.isJSON(resp.Header.Get("Content-Type")) {
		return nil, errors.New("fhirserver: no FHIR JSON")
	}
	raw, err := io.ReadAll(io.LimitReader(body, maxWritten+1))
	if err != nil || len(raw) > maxWritten {
		return nil, errors.New("fhirserver: the answer to a change cannot be read")
	}
	return fhir.ParseResource(raw)
}
