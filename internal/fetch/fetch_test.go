package fetch_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-fhir/portico/internal/fetch"
)

// names is a resolver that answers from a table, each name with its answers in
// turn and the last one for ever.
type names struct {
	answers map[string][][]string
	asked   atomic.Int64
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	at := int(n.asked.Add(1)) - 1
	list, ok := n.answers[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	var out []netip.Addr
	for _, text := range list[min(at, len(list)-1)] {
		out = append(out, netip.MustParseAddr(text))
	}
	return out, nil
}

func at(addresses ...string) *names {
	return &names{answers: map[string][][]string{"keys.example": {addresses}}}
}

func newFetcher(t *testing.T, o fetch.Options) *fetch.Fetcher {
	t.Helper()
	f, err := fetch.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// trap is a server on loopback that nobody must reach.
func trap(t *testing.T) (port string, hits *atomic.Int64) {
	t.Helper()
	hits = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		w.Header().Set("Content-Type", "application/json")
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port(), hits
}

func TestWhatMayNotBeFetchedIsNotAskedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, url, why string }{
		{"nothing", "", "printable"},
		{"a newline", "https://keys.example/\r\nHost: x", "printable"},
		{"a space", "https://keys.example/a b", "printable"},
		{"a backslash", `https://keys.example\@10.0.0.1/`, "printable"},
		{"not ASCII", "https://kéys.example/", "printable"},
		{"too long", "https://keys.example/" + strings.Repeat("a", 2048), "printable"},
		{"plain http", "http://keys.example/", "https"},
		{"file", "file:///etc/passwd", "https"},
		{"gopher", "gopher://127.0.0.1:6379/_FLUSHALL", "https"},
		{"relative", "/keys", "https"},
		{"without scheme", "//keys.example/keys", "https"},
		{"opaque", "https:keys.example", "host"},
		{"no host", "https:///keys", "host"},
		{"a port alone", "https://:443/keys", "host"},
		{"user information", "https://a:b@keys.example/", "user"},
		{"an empty user", "https://@keys.example/", "user"},
		{"a fragment", "https://keys.example/#x", "fragment"},
		{"an empty fragment", "https://keys.example/#", "fragment"},
		{"a short address", "https://127.1/", "plain address"},
		{"a number", "https://2130706433/", "plain address"},
		{"hexadecimal", "https://0x7f000001/", "plain address"},
		{"hexadecimal parts", "https://0x7f.0.0.0x1/", "plain address"},
		{"octal", "https://0177.0.0.01/", "plain address"},
		{"a dot behind an address", "https://127.0.0.1./", "plain address"},
		{"a wildcard", "https://*.example/", "plain address"},
		{"a dot alone", "https://./", "plain address"},
		{"loopback", "https://127.0.0.1/", "public"},
		{"another loopback", "https://127.8.9.1/", "public"},
		{"loopback 6", "https://[::1]/", "public"},
		{"nowhere", "https://0.0.0.0/", "public"},
		{"nowhere 6", "https://[::]/", "public"},
		{"this network", "https://0.1.2.3/", "public"},
		{"ten", "https://10.0.0.1/", "public"},
		{"172", "https://172.31.255.254/", "public"},
		{"192.168", "https://192.168.1.1/", "public"},
		{"carrier-grade NAT", "https://100.64.0.1/", "public"},
		{"a cloud's metadata", "https://169.254.169.254/latest/", "public"},
		{"a cloud's metadata 6", "https://[fd00:ec2::254]/", "public"},
		{"a cloud's metadata in CGNAT", "https://100.100.100.200/", "public"},
		{"a cloud's metadata in 192.0.0", "https://192.0.0.192/", "public"},
		{"a cloud's host", "https://168.63.129.16/", "public"},
		{"benchmarks", "https://198.18.0.1/", "public"},
		{"documentation", "https://203.0.113.1/", "public"},
		{"multicast", "https://224.0.0.1/", "public"},
		{"reserved", "https://240.0.0.1/", "public"},
		{"broadcast", "https://255.255.255.255/", "public"},
		{"unique local", "https://[fc00::1]/", "public"},
		{"link local", "https://[fe80::1]/", "public"},
		{"link local with a zone", "https://[fe80::1%25eth0]/", "public"},
		{"public with a zone", "https://[2606:4700::1%25eth0]/", "public"},
		{"multicast 6", "https://[ff02::1]/", "public"},
		{"mapped loopback", "https://[::ffff:127.0.0.1]/", "public"},
		{"mapped loopback in hex", "https://[::ffff:7f00:1]/", "public"},
		{"compatible loopback", "https://[::127.0.0.1]/", "public"},
		{"translated loopback", "https://[64:ff9b::7f00:1]/", "public"},
		{"locally translated", "https://[64:ff9b:1::1]/", "public"},
		{"6to4 of ten", "https://[2002:a00:1::]/", "public"},
		{"Teredo", "https://[2001::1]/", "public"},
		{"documentation 6", "https://[2001:db8::1]/", "public"},
		{"new documentation 6", "https://[3fff::1]/", "public"},
		{"discard", "https://[100::1]/", "public"},
		{"site local", "https://[fec0::1]/", "public"},
	} {
		resolver := at("127.0.0.1")
		f := newFetcher(t, fetch.Options{Resolver: resolver})
		_, err := f.Get(t.Context(), c.url, "application/json")
		if !errors.Is(err, fetch.ErrRefused) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: err = %v, want a refusal that says %q", c.name, err, c.why)
		}
		if resolver.asked.Load() > 0 {
			t.Errorf("%s: the name was looked up", c.name)
		}
		if err := f.Check(c.url); !errors.Is(err, fetch.ErrRefused) {
			t.Errorf("%s: Check says %v", c.name, err)
		}
	}
}

func TestNamesOfAddressesThatMayNotBeReached(t *testing.T) {
	t.Parallel()
	port, hits := trap(t)
	for _, c := range []struct {
		name      string
		addresses []string
	}{
		{"loopback", []string{"127.0.0.1"}},
		{"mapped loopback", []string{"::ffff:127.0.0.1"}},
		{"loopback 6", []string{"::1"}},
		{"a cloud's metadata", []string{"169.254.169.254"}},
		{"a private one behind a public one", []string{"198.41.0.4", "10.0.0.1"}},
		{"a private one before a public one", []string{"127.0.0.1", "198.41.0.4"}},
		{"a zone", []string{"fe80::1%lo"}},
	} {
		f := newFetcher(t, fetch.Options{Resolver: at(c.addresses...), InsecureAllowHTTP: true})
		_, err := f.Get(t.Context(), "http://keys.example:"+port+"/", "application/json")
		if !errors.Is(err, fetch.ErrRefused) {
			t.Errorf("%s: err = %v", c.name, err)
		}
		if strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "10.0.0.1") {
			t.Errorf("%s: the refusal tells the address: %v", c.name, err)
		}
	}
	if hits.Load() != 0 {
		t.Error("the server on loopback was reached")
	}
}

// A name that is public when looked up first and loopback afterwards: it is
// looked up once, and what is dialled is what was checked.
func TestRebindingDoesNotReachInside(t *testing.T) {
	t.Parallel()
	port, hits := trap(t)
	// 198.18.0.0/15 is for benchmarks: nothing answers; here it plays "public".
	resolver := &names{answers: map[string][][]string{"keys.example": {{"198.18.0.1"}, {"127.0.0.1"}}}}
	f := newFetcher(t, fetch.Options{
		Resolver: resolver, InsecureAllowHTTP: true, Timeout: 300 * time.Millisecond,
		Allow: []netip.Prefix{netip.MustParsePrefix("198.18.0.0/15")},
	})
	if _, err := f.Get(t.Context(), "http://keys.example:"+port+"/", "application/json"); !errors.Is(err, fetch.ErrFailed) {
		t.Errorf("err = %v", err)
	}
	if resolver.asked.Load() != 1 || hits.Load() != 0 {
		t.Errorf("asked %d times, reached %d times", resolver.asked.Load(), hits.Load())
	}
	if _, err := f.Get(t.Context(), "http://keys.example:"+port+"/", "application/json"); !errors.Is(err, fetch.ErrRefused) {
		t.Errorf("the second time: err = %v", err)
	}
	if hits.Load() != 0 {
		t.Error("the server on loopback was reached")
	}
}

// site is a server that may be reached under keys.example.
func site(t *testing.T, h http.HandlerFunc, change func(o *fetch.Options)) (*fetch.Fetcher, string) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	o := fetch.Options{
		Resolver: &names{answers: map[string][][]string{"example.com": {{"127.0.0.1"}}, "other.example.com": {{"127.0.0.1"}}}},
		Allow:    []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Roots: roots,
	}
	if change != nil {
		change(&o)
	}
	return newFetcher(t, o), "https://example.com:" + u.Port()
}

func sendJSON(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write([]byte(text))
}

func TestAnswersThatAreNotTaken(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"another status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) },
		"not found":      http.NotFound,
		"a page":         func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"no content type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = w.Write([]byte("{}"))
		},
		"too large": func(w http.ResponseWriter, _ *http.Request) { sendJSON(w, strings.Repeat("a", 1001)) },
		"too large, without length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for range 2000 {
				_, _ = w.Write([]byte("a"))
				_ = http.NewResponseController(w).Flush()
			}
		},
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			sendJSON(w, "{")
			panic(http.ErrAbortHandler)
		},
		"a drip": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for range 100 {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		},
		"large headers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Large", strings.Repeat("a", 64<<10))
			sendJSON(w, "{}")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, base := site(t, h, func(o *fetch.Options) { o.MaxSize, o.Timeout = 1000, time.Second })
			if d, err := f.Get(t.Context(), base+"/", "application/json"); !errors.Is(err, fetch.ErrFailed) {
				t.Errorf("got %v, %v", d, err)
			}
		})
	}
}

func TestCertificatesAreChecked(t *testing.T) {
	t.Parallel()
	ok := func(w http.ResponseWriter, _ *http.Request) { sendJSON(w, "{}") }
	f, base := site(t, ok, func(o *fetch.Options) { o.Roots = nil })
	if _, err := f.Get(t.Context(), base+"/", "application/json"); !errors.Is(err, fetch.ErrFailed) {
		t.Errorf("an unknown authority: %v", err)
	}
}

func TestRedirectsStayWithinTheOriginAndAreFew(t *testing.T) {
	t.Parallel()
	port, hits := trap(t)
	var base string
	h := func(w http.ResponseWriter, r *http.Request) {
		to := map[string]string{
			"/1": "/ok", "/2": "/1", "/3": "/2", "/loop": "/loop",
			"/other": strings.Replace(base, "example.com", "other.example.com", 1) + "/ok",
			"/http":  "http://example.com/ok", "/inside": "http://127.0.0.1:" + port + "/",
			"/user": strings.Replace(base, "https://", "https://a:b@", 1) + "/ok", "/file": "file:///etc/passwd",
			"/port": "https://example.com:1/ok",
		}[r.URL.Path]
		if to == "" {
			sendJSON(w, "{}")
			return
		}
		http.Redirect(w, r, to, http.StatusFound)
	}
	var f *fetch.Fetcher
	f, base = site(t, h, func(o *fetch.Options) { o.InsecureAllowHTTP = true })
	for path, want := range map[string]error{
		"/ok": nil, "/1": nil, "/2": nil, "/3": fetch.ErrRefused, "/loop": fetch.ErrRefused, "/other": fetch.ErrRefused,
		"/http": fetch.ErrRefused, "/inside": fetch.ErrRefused, "/user": fetch.ErrRefused, "/file": fetch.ErrRefused, "/port": fetch.ErrRefused,
	} {
		if _, err := f.Get(t.Context(), base+path, "application/json"); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	if hits.Load() != 0 {
		t.Error("a redirect led inside")
	}
}

func TestNothingOfOursIsSent(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	var got http.Header
	f, base := site(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b", Path: "/"})
		if r.URL.Path == "/first" {
			http.Redirect(w, r, "/second", http.StatusFound)
			return
		}
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte("{}"))
		_ = z.Close()
		w.Header().Set("Content-Encoding", "identity")
		sendJSON(w, "{}")
	}, nil)
	d, err := f.Get(t.Context(), base+"/first", "application/json", "application/jwk-set+json")
	if err != nil || string(d.Body) != "{}" || d.MediaType != "application/json" {
		t.Fatalf("%+v, %v", d, err)
	}
	for _, name := range []string{"Cookie", "Authorization", "Referer", "Accept-Encoding", "Proxy-Authorization"} {
		if got.Get(name) != "" {
			t.Errorf("%s: %q", name, got.Get(name))
		}
	}
	if got.Get("Accept") != "application/json, application/jwk-set+json" || got.Get("User-Agent") != "Portico" {
		t.Errorf("headers %v", got)
	}
}

func TestHowLongADocumentMayBeKept(t *testing.T) {
	t.Parallel()
	now := time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC)
	date := now.Format(http.TimeFormat)
	later := now.Add(10 * time.Minute).Format(http.TimeFormat)
	for _, c := range []struct {
		name   string
		header http.Header
		fresh  time.Duration
		said   bool
	}{
		{"nothing said", http.Header{}, 0, false},
		{"unrelated", http.Header{"Cache-Control": {"public, must-revalidate"}}, 0, false},
		{"no-store", http.Header{"Cache-Control": {"no-store, max-age=60"}}, 0, true},
		{"no-cache", http.Header{"Cache-Control": {"max-age=60", "No-Cache"}}, 0, true},
		{"max-age", http.Header{"Cache-Control": {"public, max-age=60"}}, time.Minute, true},
		{"quoted", http.Header{"Cache-Control": {`max-age="60"`}}, time.Minute, true},
		{"the shorter of two", http.Header{"Cache-Control": {"max-age=60, max-age=30"}}, 30 * time.Second, true},
		{"not a number", http.Header{"Cache-Control": {"max-age=soon"}}, 0, true},
		{"negative", http.Header{"Cache-Control": {"max-age=-1"}}, 0, true},
		{"too large", http.Header{"Cache-Control": {"max-age=99999999999"}}, 0, true},
		{"age", http.Header{"Cache-Control": {"max-age=60"}, "Age": {"45"}}, 15 * time.Second, true},
		{"older than fresh", http.Header{"Cache-Control": {"max-age=60"}, "Age": {"100"}}, 0, true},
		{"for shared caches only", http.Header{"Cache-Control": {"s-maxage=60"}}, 0, false},
		{"Expires", http.Header{"Expires": {later}, "Date": {date}}, 10 * time.Minute, true},
		{"Expires by the server's clock", http.Header{"Expires": {later}, "Date": {later}}, 0, true},
		{"Expires: 0", http.Header{"Expires": {"0"}}, 0, true},
		{"max-age before Expires", http.Header{"Cache-Control": {"max-age=60"}, "Expires": {later}}, time.Minute, true},
	} {
		f, base := site(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", date)
			for name, values := range c.header {
				w.Header()[name] = values
			}
			sendJSON(w, "{}")
		}, func(o *fetch.Options) { o.Now = func() time.Time { return now } })
		d, err := f.Get(t.Context(), base+"/", "application/json")
		if err != nil || d.Fresh != c.fresh || d.Said != c.said {
			t.Errorf("%s: %v, %v, %v; want %v, %v", c.name, d.Fresh, d.Said, err, c.fresh, c.said)
		}
	}
}

func TestWhatMayBeFetched(t *testing.T) {
	t.Parallel()
	f := newFetcher(t, fetch.Options{Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}})
	for _, u := range []string{
		"https://keys.example/", "https://keys.example", "https://KEYS.example:8443/a?b=c", "https://198.41.0.4/",
		"https://[2606:4700::1]/", "https://10.1.2.3/", "https://[::ffff:10.1.2.3]/",
	} {
		if err := f.Check(u); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	if err := f.Check("https://10.2.0.1/"); err == nil {
		t.Error("what is beside the allowed range is allowed")
	}
	for _, o := range []fetch.Options{{MaxSize: -1}, {Timeout: -1}} {
		if _, err := fetch.New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

// What is accepted is https to a name, or to a plain address that is public,
// in the eyes of another parser too.
func FuzzCheck(f *testing.F) {
	for _, u := range []string{"https://keys.example/", "https://127.1/", "https://[::ffff:127.0.0.1]/", "https://a@b/", "https://0x7f.1/", "https://198.41.0.4:8443/a?b"} {
		f.Add(u)
	}
	fetcher, err := fetch.New(fetch.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if fetcher.Check(text) != nil {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Hostname() == "" || u.Fragment != "" {
			t.Fatalf("%q is accepted", text)
		}
		ip := net.ParseIP(u.Hostname())
		if ip == nil {
			return
		}
		if ip.IsLoopback() || ip.IsPrivate() || ip.IsUnspecified() || ip.IsLinkLocalUnicast() || ip.IsMulticast() {
			t.Fatalf("%q is accepted: %s", text, ip)
		}
	})
}
