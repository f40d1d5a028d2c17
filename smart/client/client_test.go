package client_test

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/smart/client"
)

func digest(s string) []byte {
	d := sha256.Sum256([]byte(s))
	return d[:]
}

func app(change func(c *client.Client)) client.Client {
	c := client.Client{ID: "app", Name: "App", Auth: client.Public, RedirectURIs: []string{"https://app.example/cb"}}
	if change != nil {
		change(&c)
	}
	return c
}

func TestImpossibleClientsAreRefused(t *testing.T) {
	t.Parallel()
	redirect := func(uris ...string) func(*client.Client) {
		return func(c *client.Client) { c.RedirectURIs = uris }
	}
	for _, c := range []struct {
		name   string
		change func(*client.Client)
		want   string // part of the error
	}{
		{"no id", func(c *client.Client) { c.ID = "" }, "its id"},
		{"an id with a space", func(c *client.Client) { c.ID = "a b" }, "its id"},
		{"an id with a newline", func(c *client.Client) { c.ID = "a\nb" }, "its id"},
		{"a long id", func(c *client.Client) { c.ID = strings.Repeat("a", 256) }, "its id"},
		{"no name", func(c *client.Client) { c.Name = "" }, "needs a name"},
		{"no method", func(c *client.Client) { c.Auth = "" }, "neither none nor"},
		{"an unknown method", func(c *client.Client) { c.Auth = "tls_client_auth" }, "neither none nor"},
		{"a key that is missing", func(c *client.Client) { c.Auth = client.PrivateKeyJWT }, "public keys"},
		{"a key set that cannot be read", func(c *client.Client) { c.Auth, c.JWKS = client.PrivateKeyJWT, []byte("{}") }, "its keys"},
		{"keys in two ways", func(c *client.Client) {
			c.Auth, c.JWKS, c.JWKSURI = client.PrivateKeyJWT, []byte("{}"), "https://app.example/keys"
		}, "not both"},
		{"a key and a secret", func(c *client.Client) {
			c.Auth, c.JWKSURI, c.SecretSHA256 = client.PrivateKeyJWT, "https://app.example/keys", digest("s")
		}, "no secret"},
		{"a hash that is none", func(c *client.Client) { c.Auth, c.SecretHash = client.SecretBasic, "$argon2id$x" }, "cannot be read"},
		{"public with a secret", func(c *client.Client) { c.SecretSHA256 = digest("s") }, "public client has no secret"},
		{"confidential without a secret", func(c *client.Client) { c.Auth = client.SecretBasic }, "needs the SHA-256"},
		{"a secret that is not a digest", func(c *client.Client) { c.Auth, c.SecretSHA256 = client.SecretBasic, []byte("s3cret") }, "needs the SHA-256"},
		{"an empty secret", func(c *client.Client) { c.Auth, c.SecretSHA256 = client.SecretBasic, digest("") }, "secret is empty"},
		{"no redirect", redirect(), "needs a redirect URI"},
		{"the same redirect twice", redirect("https://a.example/", "https://a.example/"), "stands twice"},
		{"an empty redirect", redirect(""), "printable"},
		{"a relative redirect", redirect("/cb"), "absolute"},
		{"a redirect without scheme", redirect("//app.example/cb"), "absolute"},
		{"a fragment", redirect("https://app.example/cb#x"), "fragment"},
		{"an empty fragment", redirect("https://app.example/cb#"), "fragment"},
		{"http elsewhere", redirect("http://app.example/cb"), "use https"},
		{"http to a look-alike of localhost", redirect("http://localhost.evil.example/cb"), "use https"},
		{"http to a loopback name as user", redirect("http://localhost@evil.example/cb"), "user information"},
		{"http to localhost with port 0", redirect("http://localhost:0/cb"), "use https"},
		{"http to another 127 address", redirect("http://127.0.0.2/cb"), "use https"},
		{"user information", redirect("https://user:pw@app.example/cb"), "user information"},
		{"a wildcard host", redirect("https://*.example/cb"), "wildcards"},
		{"no host", redirect("https:///cb"), "no host"},
		{"javascript", redirect("javascript:alert(1)"), "scheme"},
		{"a host that ends a policy", redirect("https://app.example;x/cb"), "name or an address"},
		{"a host with a comma", redirect("https://app.example,evil.example/cb"), "name or an address"},
		{"without end", redirect("https://app.example/" + strings.Repeat("x", 2000)), "longer than"},
		{"data", redirect("data:text/html,x"), "scheme"},
		{"vbscript", redirect("vbscript:x"), "scheme"},
		{"file", redirect("file:///etc/passwd"), "scheme"},
		{"a private-use scheme without a dot", redirect("myapp:/cb"), "scheme"},
		{"a private-use scheme with a host", redirect("com.example.app://cb"), "has no host"},
		{"upper-case scheme", redirect("HTTPS://app.example/cb"), "lower case"},
		{"a backslash", redirect(`https://app.example\@evil.example`), "backslash"},
		{"a newline", redirect("https://app.example/cb\r\nX: y"), "printable"},
		{"not ASCII", redirect("https://äpp.example/cb"), "printable"},
		{"dot segments", redirect("https://app.example/a/../cb"), "segments"},
		{"encoded dot segments", redirect("https://app.example/a/%2e%2e/cb"), "segments"},
		{"a query with code", redirect("https://app.example/cb?code=1"), `"code"`},
		{"a query with state", redirect("https://app.example/cb?a=b&state="), `"state"`},
		{"a query that cannot be read", redirect("https://app.example/cb?a=%zz"), "query"},
		{"any port without a loopback redirect", func(c *client.Client) { c.AnyLoopbackPort = true }, "any loopback port"},
		{"an empty source", func(c *client.Client) { c.Sources = []string{""} }, "sources"},
		{"scopes that the checker refuses", func(c *client.Client) { c.Scopes = "bad" }, "its scopes"},
	} {
		_, err := client.NewStatic(client.Options{
			Clients: []client.Client{app(c.change)},
			CheckScopes: func(s string) error {
				if s == "bad" {
					return errors.New("no")
				}
				return nil
			},
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: err = %v, want one that says %q", c.name, err, c.want)
		}
	}
	if _, err := client.NewStatic(client.Options{Clients: []client.Client{app(nil), app(nil)}}); err == nil {
		t.Error("two clients of one id were accepted")
	}
}

func TestPossibleClientsAreFound(t *testing.T) {
	t.Parallel()
	all := []client.Client{
		app(func(c *client.Client) { c.ID, c.Scopes = "1", "openid" }),
		app(func(c *client.Client) { c.ID, c.Auth, c.SecretSHA256 = "2", client.SecretBasic, digest("s") }),
		app(func(c *client.Client) {
			c.ID, c.RedirectURIs = "3", []string{"com.example.app:/cb", "com.example.app:cb"}
		}),
		app(func(c *client.Client) {
			c.ID, c.AnyLoopbackPort = "4", true
			c.RedirectURIs = []string{"http://localhost:8083/cb?x=1", "http://127.0.0.1/cb", "http://[::1]:1/"}
		}),
	}
	s, err := client.NewStatic(client.Options{Clients: all, CheckScopes: func(string) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	all[0].RedirectURIs[0] = "https://evil.example/"
	got, err := s.Client(t.Context(), "1")
	if err != nil || got.RedirectURIs[0] != "https://app.example/cb" {
		t.Errorf("the registry changed with its caller's slice: %v, %v", got.RedirectURIs, err)
	}
	for _, id := range []string{"", "5", "1 "} {
		if _, err := s.Client(t.Context(), id); !errors.Is(err, client.ErrUnknown) {
			t.Errorf("Client(%q): err = %v, want ErrUnknown", id, err)
		}
	}
}

func TestSecretsCompareByDigest(t *testing.T) {
	t.Parallel()
	c := app(func(c *client.Client) { c.Auth, c.SecretSHA256 = client.SecretBasic, digest("right") })
	for secret, want := range map[string]bool{"right": true, "": false, "Right": false, "right ": false, string(digest("right")): false} {
		if got := c.CheckSecret(secret); got != want {
			t.Errorf("CheckSecret(%q) = %v", secret, got)
		}
	}
	if app(nil).CheckSecret("") {
		t.Error("a client without secret has no right one")
	}
	if !c.Confidential() || app(nil).Confidential() {
		t.Error("Confidential is wrong")
	}
}

func TestSourcesLimitAClient(t *testing.T) {
	t.Parallel()
	c := app(func(c *client.Client) { c.Sources = []string{"demo"} })
	if !c.AllowsSource("demo") || c.AllowsSource("other") || c.AllowsSource("") || !app(nil).AllowsSource("other") {
		t.Error("AllowsSource is wrong")
	}
}

func TestRedirectsMatchExactlyButForLoopbackPorts(t *testing.T) {
	t.Parallel()
	c := app(func(c *client.Client) {
		c.RedirectURIs = []string{
			"https://app.example/cb", "https://app.example/q?a=1", "com.example.app:/cb",
			"http://localhost:8083/cb", "http://127.0.0.1/cb", "http://[::1]/cb?a=1",
		}
	})
	ports := c
	ports.AnyLoopbackPort = true
	for _, r := range []struct {
		uri              string
		exact, withPorts bool
	}{
		{"", false, false},
		{"https://app.example/cb/", false, false},
		{"https://app.example/CB", false, false},
		{"https://app.example:443/cb", false, false},
		{"https://app.example/cb?", false, false},
		{"https://app.example/cb?x=1", false, false},
		{"https://app.example/cb#", false, false},
		{"https://app.example/cb/../evil", false, false},
		{"https://app.example/%63b", false, false},
		{"https://app.example.evil.example/cb", false, false},
		{"https://app.example@evil.example/cb", false, false},
		{"http://app.example/cb", false, false},
		{"https://APP.example/cb", false, false},
		{" https://app.example/cb", false, false},
		{"https://app.example/cb\n", false, false},
		{"https://app.example/q?a=2", false, false},
		{"com.example.app:/cb/x", false, false},
		{"com.example.app:cb", false, false},
		{"https://localhost:8083/cb", false, false},
		{"http://localhost:99999/cb", false, false},
		{"http://localhost:0/cb", false, false},
		{"http://localhost:/cb", false, false},
		{"http://localhost:08083/cb", false, false},
		{"http://localhost:80@evil.example/cb", false, false},
		{"http://localhost:80.evil.example/cb", false, false},
		{"http://localhost:80\\@evil.example/cb", false, false},
		{"http://localhost.evil.example/cb", false, false},
		{"http://LOCALHOST:1/cb", false, false},
		{"http://localhost:1/cb#f", false, false},
		{"http://localhost:1/cb/..", false, false},
		{"http://localhost:1/cb?a=1", false, false},
		{"http://[::1]:1/cb?a=2", false, false},
		{"http://[::2]:1/cb?a=1", false, false},
		{"http://127.0.0.2:1/cb", false, false},
		{"http://127.0.0.1.evil.example/cb", false, false},
		{"http://0x7f000001:1/cb", false, false},
		{"http://127.1:1/cb", false, false},

		{"http://localhost:8084/cb", false, true},
		{"http://localhost/cb", false, true},
		{"http://127.0.0.1:51004/cb", false, true},
		{"http://[::1]:65535/cb?a=1", false, true},
		{"https://app.example/cb", true, true},
		{"https://app.example/q?a=1", true, true},
		{"com.example.app:/cb", true, true},
		{"http://localhost:8083/cb", true, true},
	} {
		if got := c.AllowsRedirect(r.uri); got != r.exact {
			t.Errorf("exact: AllowsRedirect(%q) = %v", r.uri, got)
		}
		if got := ports.AllowsRedirect(r.uri); got != r.withPorts {
			t.Errorf("any port: AllowsRedirect(%q) = %v", r.uri, got)
		}
	}
}

// Whatever matches without being registered is read by a URL parser as the
// registered URI with another port.
func FuzzAllowsRedirect(f *testing.F) {
	registered := []string{"https://app.example/cb", "http://localhost:8083/cb", "http://127.0.0.1/", "http://[::1]/cb?a=1", "http://localhost"}
	for _, s := range append(slices.Clone(registered),
		"http://localhost:1/cb", "http://localhost:1", "http://127.0.0.1:65535/", "http://[::1]:7/cb?a=1",
		"http://localhost:80@evil.example/cb", "http://localhost:80\\@evil.example", "http://localhost:1/cb#", "http://localhost:%31/cb", "http://localhost:1/cb\x00",
	) {
		f.Add(s)
	}
	c := app(func(c *client.Client) { c.RedirectURIs, c.AnyLoopbackPort = registered, true })
	f.Fuzz(func(t *testing.T, uri string) {
		if !c.AllowsRedirect(uri) || slices.Contains(registered, uri) {
			return
		}
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatalf("%q matches but is no URL: %v", uri, err)
		}
		if u.Scheme != "http" || u.User != nil || u.Fragment != "" || strings.Contains(uri, "#") {
			t.Fatalf("%q matches", uri)
		}
		same := func(r string) bool {
			w, err := url.Parse(r)
			return err == nil && w.Scheme == u.Scheme && w.Hostname() == u.Hostname() &&
				w.EscapedPath() == u.EscapedPath() && w.RawQuery == u.RawQuery
		}
		if !slices.ContainsFunc(registered, same) {
			t.Fatalf("%q matches none of the registered but for the port", uri)
		}
	})
}

func TestHashedSecrets(t *testing.T) {
	t.Parallel()
	secret, hash, err := client.NewSecret(rand.Reader)
	if err != nil || len(secret) != 43 || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("%q %q %v", secret, hash, err)
	}
	again, err := client.HashSecret(secret, rand.Reader)
	if err != nil || again == hash {
		t.Error("two hashes of one secret are the same: there is no salt")
	}
	for _, c := range []struct {
		hash, secret string
		want         bool
	}{
		{hash, secret, true},
		{again, secret, true},
		{hash, "", false},
		{hash, secret + " ", false},
		{hash, hash, false},
		{strings.Replace(hash, "argon2id", "argon2i", 1), secret, false},
		{strings.Replace(hash, "m=19456", "m=4294967295", 1), secret, false},
		{strings.Replace(hash, "t=2", "t=0", 1), secret, false},
		{hash[:len(hash)-4], secret, false},
		{"", "", false},
		{hash, strings.Repeat("a", 513), false},
	} {
		app := app(func(a *client.Client) { a.Auth, a.SecretHash = client.SecretBasic, c.hash })
		if got := app.CheckSecret(c.secret); got != c.want {
			t.Errorf("%q with %q: %v", c.hash, c.secret, got)
		}
	}
	for _, bad := range []string{"", strings.Repeat("a", 513)} {
		if _, err := client.HashSecret(bad, rand.Reader); err == nil {
			t.Errorf("a secret of %d bytes is taken", len(bad))
		}
	}
}
