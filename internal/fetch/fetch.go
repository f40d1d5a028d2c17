// Package fetch is the only way to outside URLs that somebody else chose: an
// app's keys, its logo, the keys behind a software statement. It owns which
// addresses may be reached and how much is read; it must not know what a
// document means. Whoever registers a URL must not be able to make this server
// ask its own network something (SSRF), so an address is checked where it is
// dialled, not where its name is read.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The limits that Options may lower or raise.
const (
	DefaultMaxSize = 256 << 10
	DefaultTimeout = 5 * time.Second

	maxURL       = 2048
	maxRedirects = 2
	maxHeader    = 16 << 10
)

// ErrRefused says that a URL may not be fetched. It says nothing about what is
// behind it, so its text may be told to whoever registered the URL.
var ErrRefused = errors.New("fetch: refused")

// ErrFailed says that a URL may be fetched and gave nothing usable. Its text is
// for the operator: it could tell what listens where.
var ErrFailed = errors.New("fetch: failed")

// Resolver finds the addresses of a name; net.DefaultResolver does.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options say what may be reached.
type Options struct {
	// Allow names addresses beyond the public ones: an operator's own network.
	Allow []netip.Prefix
	// InsecureAllowHTTP allows http, whose answer anybody on the way can replace.
	InsecureAllowHTTP bool

	MaxSize  int64          // of a body; DefaultMaxSize when 0
	Timeout  time.Duration  // for everything together; DefaultTimeout when 0
	Resolver Resolver       // net.DefaultResolver when nil
	Roots    *x509.CertPool // the system's when nil
	Now      func() time.Time
}

// Fetcher fetches documents.
type Fetcher struct {
	o      Options
	client *http.Client
}

// Document is what a URL gave.
type Document struct {
	Body      []byte
	MediaType string // without parameters, lower case
	// Fresh is how long it may be kept, when the server said so (Cache-Control
	// or Expires, RFC 9111 §4.2); Said tells whether it did.
	Fresh time.Duration
	Said  bool
}

// New makes a fetcher.
func New(o Options) (*Fetcher, error) {
	if o.MaxSize < 0 || o.Timeout < 0 {
		return nil, errors.New("fetch: limits must not be negative")
	}
	if o.MaxSize == 0 {
		o.MaxSize = DefaultMaxSize
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Allow = slices.Clone(o.Allow)
	f := &Fetcher{o: o}
	f.client = &http.Client{
		// No Jar: no cookies. No Proxy: a proxy would dial what is not checked here.
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            f.dial,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots},
			DisableKeepAlives:      true, // each fetch is checked from its name on
			DisableCompression:     true, // what is read is what was sent
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: f.checkRedirect,
	}
	return f, nil
}

// Check tells, without asking anybody, whether a URL could be fetched: what a
// registration is held to. Names are only resolved when they are fetched.
func (f *Fetcher) Check(text string) error {
	_, err := f.parse(text)
	return err
}

// Get fetches a document whose media type is one of types.
func (f *Fetcher) Get(ctx context.Context, text string, types ...string) (Document, error) {
	u, err := f.parse(text)
	if err != nil {
		return Document{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Document{}, fmt.Errorf("%w: it is not a URL", ErrRefused)
	}
	req.Header.Set("Accept", strings.Join(types, ", "))
	req.Header.Set("User-Agent", "Portico")
	res, err := f.client.Do(req)
	if err != nil {
		if errors.Is(err, ErrRefused) {
			return Document{}, refusal(err)
		}
		return Document{}, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	defer func() { _ = res.Body.Close() }()
	return f.read(res, types)
}

// refusal cuts a refusal out of what net/http wrapped around it.
func refusal(err error) error {
	var r *refused
	if errors.As(err, &r) {
		return r
	}
	return ErrRefused
}

type refused struct{ why string }

func (r *refused) Error() string { return ErrRefused.Error() + ": " + r.why }
func (r *refused) Unwrap() error { return ErrRefused }

func refuse(why string) error { return &refused{why: why} }

func (f *Fetcher) read(res *http.Response, types []string) (Document, error) {
	if res.StatusCode != http.StatusOK {
		return Document{}, fmt.Errorf("%w: status %d", ErrFailed, res.StatusCode)
	}
	media, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(types, media) {
		return Document{}, fmt.Errorf("%w: its Content-Type is not %s", ErrFailed, strings.Join(types, " or "))
	}
	if res.ContentLength > f.o.MaxSize {
		return Document{}, fmt.Errorf("%w: larger than %d bytes", ErrFailed, f.o.MaxSize)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, f.o.MaxSize+1))
	if err == nil {
		err = res.Request.Context().Err() // an end at the very deadline may be a part taken for the whole
	}
	if err != nil {
		return Document{}, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	if int64(len(body)) > f.o.MaxSize {
		return Document{}, fmt.Errorf("%w: larger than %d bytes", ErrFailed, f.o.MaxSize)
	}
	d := Document{Body: body, MediaType: media}
	d.Fresh, d.Said = freshness(res.Header, f.o.Now())
	return d, nil
}

// parse takes absolute http(s) URLs that every reader understands alike.
func (f *Fetcher) parse(text string) (*url.URL, error) {
	if text == "" || len(text) > maxURL || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return nil, refuse("it must be printable ASCII without spaces and backslashes")
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, refuse("it is not a URL")
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && f.o.InsecureAllowHTTP:
	default:
		return nil, refuse("it must be https")
	}
	switch {
	case u.Opaque != "" || u.Host == "" || u.Hostname() == "":
		return nil, refuse("it has no host")
	case u.User != nil:
		return nil, refuse("it must not have user information")
	case strings.Contains(text, "#"):
		return nil, refuse("it must not have a fragment")
	}
	return u, f.checkHost(u)
}

// checkHost refuses what is an address in one reading and a name in another,
// such as 127.1 and 0x7f000001, and addresses that may not be reached.
func (f *Fetcher) checkHost(u *url.URL) error {
	host := u.Hostname()
	if a, err := netip.ParseAddr(host); err == nil {
		return f.checkAddr(a)
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	last := strings.ToLower(labels[len(labels)-1])
	if last == "" || strings.HasPrefix(last, "0x") || strings.Trim(last, "0123456789") == "" || strings.ContainsAny(host, "%*:[]") {
		return refuse("its host is neither a name nor a plain address")
	}
	return nil
}

// checkRedirect follows at most two, within the same origin: what was
// registered is one server's word, not that of whomever it points to.
func (f *Fetcher) checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case len(via) > maxRedirects:
		return refuse("it redirects too often")
	case !strings.EqualFold(req.URL.Host, first.Host) || req.URL.Scheme != first.Scheme:
		return refuse("it redirects to another origin")
	}
	_, err := f.parse(req.URL.String())
	req.Header.Del("Referer")
	return err
}
