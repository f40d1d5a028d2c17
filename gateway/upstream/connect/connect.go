package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"golang.org/x/net/http/httpguts"
)

// Credential proves to an EHR who is asking.
type Credential interface {
	// Authorization gives the value of the header. Its error is a fault of kind
	// Unavailable that says nothing of where it was asked for.
	Authorization(ctx context.Context) (string, error)
	// Refused is told that the EHR answered 401 to value, and says whether
	// another one may be had for asking once more.
	Refused(value string) bool
}

// Header is one that the EHR, or what stands before it, asks for.
type Header struct{ Name, Value string }

// Options configures a Transport.
type Options struct {
	Base       fhir.Base         // required
	Also       []fhir.Base       // other places that may know what Base may
	Next       http.RoundTripper // required: connections of this source's own, see NewTransport
	Credential Credential        // nil: none
	Headers    []Header
	// Elsewhere takes what is not below Base or Also, with no credential, no header and
	// no connection of this source. Nil: it is refused.
	Elsewhere http.RoundTripper
}

// Transport adds to requests for one base what that base may know.
type Transport struct{ o Options }

var _ http.RoundTripper = (*Transport)(nil)

// New checks the options.
func New(o Options) (*Transport, error) {
	if o.Base == (fhir.Base{}) || o.Next == nil {
		return nil, errors.New("connect: Base and Next are required")
	}
	for _, h := range o.Headers {
		if why := BadHeader(h.Name, h.Value); why != "" {
			return nil, fmt.Errorf("connect: header %q %s", h.Name, why)
		}
	}
	return &Transport{o: o}, nil
}

// BadHeader says why a header may not be among Options.Headers, "" if it may. What
// decides where a message goes, how long it is, what it asks for or who sends it is
// not the configuration's to say.
func BadHeader(name, value string) string {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	reserved := []string{
		"Authorization", "Proxy-Authorization", "Proxy-Authenticate", "Proxy-Connection", "Www-Authenticate", "Host", "Cookie", "Set-Cookie",
		"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", // hop by hop (RFC 9110 §7.6.1)
		"Accept", "Accept-Charset", "Accept-Encoding", "Expect", "Prefer", "Range", "Forwarded", "Http2-Settings", "X-Http-Method", "X-Method-Override",
		"X-Http-Method-Override",
	}
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return "is no name of a header"
	case slices.Contains(reserved, canonical), strings.HasPrefix(canonical, "Content-"), strings.HasPrefix(canonical, "If-"),
		strings.HasPrefix(canonical, "X-Forwarded-"), strings.HasPrefix(canonical, ":"):
		return "is set by Portico alone"
	case !httpguts.ValidHeaderFieldValue(value):
		return "has a value that cannot be sent"
	}
	return ""
}

var errElsewhere = errors.New("connect: the request is not for this EHR")

func (t *Transport) within(link string) bool {
	return upstream.Within(t.o.Base, link) || slices.ContainsFunc(t.o.Also, func(b fhir.Base) bool { return upstream.Within(b, link) })
}

// RoundTrip implements http.RoundTripper. An answer of 401 to a read is answered
// with another credential once, if there is one.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.within(req.URL.String()) || req.Host != "" && req.Host != req.URL.Host {
		if t.o.Elsewhere == nil {
			return nil, errElsewhere
		}
		bare := req.Clone(req.Context())
		bare.Header.Del("Authorization")
		return t.o.Elsewhere.RoundTrip(bare) //nolint:wrapcheck // as net/http has it
	}
	resp, value, err := t.send(req)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || value == "" {
		return resp, err
	}
	// Also after a write, so that the next request has another.
	if !t.o.Credential.Refused(value) || !repeatable(req) {
		return resp, nil
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
	resp, _, err = t.send(req)
	return resp, err
}

// CloseIdleConnections is for http.Client.
func (t *Transport) CloseIdleConnections() {
	for _, next := range []http.RoundTripper{t.o.Next, t.o.Elsewhere} {
		if c, ok := next.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
}

func repeatable(req *http.Request) bool {
	return (req.Method == http.MethodGet || req.Method == http.MethodHead) && (req.Body == nil || req.Body == http.NoBody)
}

// send asks once and gives what it signed in with.
func (t *Transport) send(req *http.Request) (*http.Response, string, error) {
	signed := req.Clone(req.Context())
	for _, h := range t.o.Headers {
		signed.Header.Set(h.Name, h.Value)
	}
	var value string
	if t.o.Credential != nil {
		var err error
		if value, err = t.o.Credential.Authorization(req.Context()); err != nil {
			return nil, "", err //nolint:wrapcheck // a fault already
		}
		signed.Header.Set("Authorization", value)
	}
	resp, err := t.o.Next.RoundTrip(signed)
	return resp, value, err //nolint:wrapcheck // as net/http has it
}

// Static is a credential that never changes.
type Static string

var _ Credential = Static("")

// Basic is a name with a password (RFC 7617).
func Basic(name, password string) Static {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(name, password)
	return Static(r.Header.Get("Authorization"))
}

// Bearer is a token that somebody made (RFC 6750).
func Bearer(token string) Static { return Static("Bearer " + token) }

// Authorization implements Credential.
func (s Static) Authorization(context.Context) (string, error) { return string(s), nil }

// Refused implements Credential.
func (Static) Refused(string) bool { return false }

// String hides it.
func (Static) String() string { return "[hidden]" }

// GoString hides it.
func (Static) GoString() string { return "[hidden]" }
