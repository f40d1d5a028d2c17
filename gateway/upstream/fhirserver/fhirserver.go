// Package fhirserver is the connector to a FHIR R4 server over HTTP. It builds
// every request itself, sends credentials to the configured base and nowhere
// else, and turns whatever goes wrong into neutral faults without a word of the
// upstream's. It knows neither patients nor scopes.
package fhirserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/fetch"
)

// Options configures a Server.
type Options struct {
	Base fhir.Base
	// Authorize adds the upstream's credentials to a request, nil for none.
	Authorize func(*http.Request)
	// Accept is the Accept header of every request; "" means application/fhir+json.
	Accept string
	// MediaTypes are those of answers that are read as FHIR JSON, beside the
	// ones that say so.
	MediaTypes []string
	Timeout    time.Duration     // to the response's headers, and for each pause in its body; 0 means 15 s
	MaxBody    int64             // bytes of one answer; 0 means 256 MiB
	Transport  http.RoundTripper // nil means a transport of its own
	// Places are where attachments may lie beside Base; Outside is the transport
	// to those that get no credentials, nil for one of its own.
	Places  []Place
	Outside http.RoundTripper
}

// Server is one upstream FHIR server.
type Server struct {
	base      fhir.Base
	authorize func(*http.Request)
	accept    string
	media     []string
	maxBody   int64
	timeout   time.Duration
	client    *http.Client
	places    []Place
	outside   *http.Client
	known     capabilityCache
}

var _ upstream.Reader = (*Server)(nil)

// New makes a connector; it does not connect yet.
func New(o Options) (*Server, error) {
	if o.Base == (fhir.Base{}) {
		return nil, errors.New("fhirserver: a base is required")
	}
	if o.Authorize == nil {
		o.Authorize = func(*http.Request) {}
	}
	if o.Accept == "" {
		o.Accept = fhir.JSON
	}
	if o.Timeout == 0 {
		o.Timeout = 15 * time.Second
	}
	if o.MaxBody == 0 {
		o.MaxBody = 256 << 20
	}
	if o.Transport == nil {
		o.Transport = newTransport(o.Timeout)
	}
	if o.Outside == nil {
		o.Outside = newTransport(o.Timeout)
	}
	return &Server{
		base:      o.Base,
		authorize: o.Authorize,
		accept:    o.Accept,
		media:     o.MediaTypes,
		maxBody:   o.MaxBody,
		timeout:   o.Timeout,
		client:    clientOver(o.Transport),
		places:    o.Places,
		outside:   clientOver(o.Outside),
	}, nil
}

// Close gives up connections that nobody uses.
func (s *Server) Close() {
	s.client.CloseIdleConnections()
	s.outside.CloseIdleConnections()
}

func newTransport(timeout time.Duration) *http.Transport {
	return &http.Transport{
		// No proxy from the environment: patient data goes where the
		// configuration says.
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: timeout,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
		ForceAttemptHTTP2:     true,
	}
}

func clientOver(t http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: t,
		// A redirect could lead the credentials anywhere (docs/pitfalls.md 32).
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Read implements upstream.Reader.
func (s *Server) Read(ctx context.Context, typ, id string) (*upstream.Answer, error) {
	if !fhir.ValidID(id) {
		return nil, fault.New(fault.NotFound, "Not found.")
	}
	answer, err := s.get(ctx, s.base.String()+"/"+typ+"/"+id)
	if status := statusError(0); typ == "Binary" && errors.As(err, &status) && status >= http.StatusMultipleChoices && status < http.StatusBadRequest {
		// It lies elsewhere, where nobody follows: one that is there and not to be had.
		return nil, fault.Wrap(status, fault.Unsupported, notOffered)
	}
	if typ != "Binary" && errors.Is(err, errPage) {
		// A page of a sign-in or of a proxy, in place of any answer. A Binary may
		// be a page itself.
		return nil, fault.Wrap(errPage, fault.Upstream, "The record system gave an unusable answer.")
	}
	return answer, err
}

// errPage is that an answer with status 200 is a page of HTML.
var errPage = errors.New("fhirserver: a page of HTML")

// Search implements upstream.Reader.
func (s *Server) Search(ctx context.Context, typ, query string) (*upstream.Answer, error) {
	target := s.base.String() + "/" + typ
	if query != "" {
		target += "?" + query
	}
	return s.get(ctx, target)
}

// Next implements upstream.Reader.
func (s *Server) Next(ctx context.Context, link string) (*upstream.Answer, error) {
	if !upstream.Within(s.base, link) {
		return nil, fault.Wrap(errors.New("fhirserver: next link outside the base"), fault.Upstream, "The record system gave an unusable answer.")
	}
	return s.get(ctx, link)
}

func (s *Server) get(ctx context.Context, target string) (*upstream.Answer, error) {
	within, end := context.WithCancel(ctx)
	answer, err := s.send(within, ctx, end, target)
	if err != nil {
		end()
	}
	return answer, err
}

// send asks within a context of its own, which end ends; caller is whose going
// away is no fault of the upstream's.
func (s *Server) send(within, caller context.Context, end context.CancelFunc, target string) (*upstream.Answer, error) {
	req, err := http.NewRequestWithContext(within, http.MethodGet, target, nil)
	if err != nil {
		return nil, fault.Wrap(fmt.Errorf("fhirserver: building the request: %w", err), fault.Internal, "")
	}
	req.Header.Set("Accept", s.accept)
	req.Header.Set("User-Agent", "portico")
	s.authorize(req)
	resp, err := s.client.Do(req) //nolint:bodyclose // the body is the Answer's, whose reader closes it
	if err != nil {
		return nil, transportFault(caller, err)
	}
	if err := s.statusFault(resp); err != nil {
		return nil, drained(resp, newBody(resp.Body, s.maxBody, s.timeout, end), err)
	}
	return &upstream.Answer{
		Body:         newBody(resp.Body, s.maxBody, s.timeout, end),
		ETag:         resp.Header.Get("ETag"),
		LastModified: fetch.LastModified(resp.Header),
	}, nil
}

// transportFault strips the URL that net/http puts into its errors: it holds
// ids and search values.
func transportFault(ctx context.Context, err error) error {
	var timeout net.Error
	var local *fault.Error
	switch {
	case errors.As(err, &local): // on the way out, such as when the source is left alone
		return local
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return fault.Wrap(errors.New("fhirserver: the client went away"), fault.Unavailable, "The request was given up.")
	case errors.As(err, &timeout) && timeout.Timeout():
		return fault.Wrap(errors.New("fhirserver: timed out"), fault.UpstreamTimeout, "The record system did not answer in time.")
	}
	return fault.Wrap(errors.New("fhirserver: connection failed"), fault.Unavailable, "The record system cannot be reached.")
}

// maxRetryAfter bounds what is believed of when to ask again.
const maxRetryAfter = time.Hour

// statusError is an answer's status that is not as it should be.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("fhirserver: status %d", int(e)) }

const notOffered = "The record system does not offer this."

func (s *Server) statusFault(resp *http.Response) error {
	cause := statusError(resp.StatusCode)
	later := func(k fault.Kind, public string) error {
		return &fault.Error{Kind: k, Public: public, Err: cause, RetryAfter: min(fetch.RetryAfter(resp.Header, time.Now()), maxRetryAfter)}
	}
	switch {
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone:
		return fault.New(fault.NotFound, "Not found.")
	case resp.StatusCode == http.StatusTooManyRequests:
		return later(fault.TooMany, "The record system asks for fewer requests.")
	case resp.StatusCode == http.StatusBadRequest, resp.StatusCode == http.StatusUnprocessableEntity:
		return fault.Wrap(cause, fault.Invalid, "The record system does not understand this search.")
	case resp.StatusCode == http.StatusForbidden, resp.StatusCode == http.StatusMethodNotAllowed, resp.StatusCode == http.StatusNotImplemented:
		return fault.Wrap(cause, fault.Unsupported, notOffered)
	case resp.StatusCode == http.StatusPaymentRequired, resp.StatusCode == http.StatusLocked,
		resp.StatusCode == http.StatusFailedDependency, resp.StatusCode == http.StatusUnavailableForLegalReasons:
		// They speak of what was asked for and not of the server: it is there.
		return fault.Wrap(cause, fault.Unsupported, notOffered)
	case resp.StatusCode == http.StatusServiceUnavailable:
		return later(fault.Unavailable, "The record system is not available.")
	case resp.StatusCode == http.StatusGatewayTimeout:
		return fault.Wrap(cause, fault.UpstreamTimeout, "The record system did not answer in time.")
	case resp.StatusCode != http.StatusOK:
		return fault.Wrap(cause, fault.Upstream, "The record system failed.")
	case !s.isJSON(resp.Header.Get("Content-Type")):
		return fault.Wrap(fmt.Errorf("fhirserver: %w", upstream.ErrUnreadable), fault.Upstream, "The record system gave an unusable answer.")
	}
	return nil
}

func (s *Server) isJSON(contentType string) bool {
	if contentType == "" { // RFC 9110 section 8.3
		contentType = "application/octet-stream"
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && slices.Contains(s.media, media) || err == nil && (media == fhir.JSON || media == "application/json" || media == "application/json+fhir")
}

// drained reads a little of an unwanted body, so that the connection can be used
// again, and closes it. A server whose answers break off must not tell, by which
// of them do, whether there is something: its "not found" that breaks off is as
// unusable as a resource that does.
func drained(resp *http.Response, b *body, failed error) error {
	raw, err := io.ReadAll(io.LimitReader(b, maxDrained))
	_ = b.Close()
	switch {
	case fault.KindOf(failed) == fault.NotFound && (err != nil || cut(resp, raw)):
		return fault.Wrap(errors.New("fhirserver: the answer broke off"), fault.Upstream, "The record system gave an unusable answer.")
	case errors.Is(failed, upstream.ErrUnreadable) && isPage(raw):
		return fault.Wrap(fmt.Errorf("%w: %w", errPage, upstream.ErrUnreadable), fault.Upstream, "The record system gave an unusable answer.")
	}
	return failed
}

const maxDrained = 64 << 10

// cut says whether a body that calls itself JSON ends before it is whole.
func cut(resp *http.Response, raw []byte) bool {
	if len(raw) == 0 || len(raw) == maxDrained || !strings.Contains(resp.Header.Get("Content-Type"), "json") {
		return false
	}
	_, err := fhir.ParseNode(raw)
	return errors.Is(err, io.ErrUnexpectedEOF)
}

func isPage(raw []byte) bool {
	begin := strings.ToLower(string(bytes.TrimSpace(raw[:min(len(raw), 256)])))
	return strings.HasPrefix(begin, "<!doctype html") || strings.HasPrefix(begin, "<html")
}
