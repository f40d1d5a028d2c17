package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/portico-fhir/portico/internal/services"
)

// What TestPart is told by its environment.
const (
	partEnv      = "PORTICO_TEST_PART"
	partPort     = "PORTICO_TEST_PART_PORT"
	partCallback = "PORTICO_TEST_PART_CALLBACK"
	partSecret   = "provider-secret-0123456789abcdef"
	partKey      = "PORTICO_TEST_SEAL_KEY"

	replicaApp  = "http://localhost:4711/callback"
	replicaKnow = 2 * time.Minute // how long anything may take to be there again
)

// built is where binary was put, for TestMain.
var built atomic.Pointer[string]

func TestMain(m *testing.M) {
	code := m.Run()
	if dir := built.Load(); dir != nil {
		_ = os.RemoveAll(*dir)
	}
	os.Exit(code)
}

// binary is portico as it is shipped, built once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "portico-binary-")
	if err != nil {
		return "", err
	}
	built.Store(&dir)
	path := filepath.Join(dir, "portico")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// cluster is an EHR, a provider and two Porticos, each a process, behind a
// balancer that gives every request to the other replica than the one before.
type cluster struct {
	t        *testing.T
	dir      string
	public   string
	ehr, idp *process
	each     [2]*process
	turn     atomic.Int64
}

const clusterConfig = `
public_url: %[1]s
listen: 127.0.0.1:%[2]d
store: %[3]s
seal_key: {env: ` + partKey + `}
identity_providers:
  - {id: provider, issuer: "%[4]s", client_id: portico, client_secret: {file: provider.secret}}
sources:
  - id: demo
    name: Demo
    fhir_base: %[5]s/fhir
    identity_provider: provider
    timeout: 4s
    limits: {open_for: 1s}
clients:
  - {id: my-app, name: An app, type: public, redirect_uris: ["` + replicaApp + `"]}
limits:
  per_app: {per_second: 100000, burst: 100000}
  per_patient: {per_second: 100000, burst: 100000}
log: {level: warn}
`

// newCluster starts everything; store is what stands under that key of the
// configuration, and more follows at the end of it.
func newCluster(t *testing.T, store, more string) *cluster {
	t.Helper()
	return newClusterOf(t, binary, store, more)
}

// folder is what a replica runs in.
func (c *cluster) folder(i int) string { return filepath.Join(c.dir, fmt.Sprint("replica-", i)) }

// newClusterOf is newCluster with a portico of another build.
func newClusterOf(t *testing.T, build func() (string, error), store, more string) *cluster {
	t.Helper()
	services.Need(t)
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, dir: t.TempDir()}
	balancer := httptest.NewServer(http.HandlerFunc(c.balance))
	t.Cleanup(balancer.Close)
	c.public = strings.Replace(balancer.URL, "127.0.0.1", "localhost", 1)
	part := func(name, at string) *process {
		p := &process{t: t, port: freePort(t), at: at}
		p.make = func() *exec.Cmd {
			cmd := exec.Command(os.Args[0], "-test.run=^TestPart$", "-test.timeout=0")
			cmd.Env = append(os.Environ(), partEnv+"="+name, fmt.Sprintf("%s=%d", partPort, p.port), partCallback+"="+c.public+"/login/callback")
			return cmd
		}
		return p
	}
	c.ehr, c.idp = part("ehr", "/fhir/metadata"), part("idp", "/.well-known/openid-configuration")
	if err := os.WriteFile(filepath.Join(c.dir, "provider.secret"), []byte(partSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32))
	for i := range c.each {
		p := &process{t: t, port: freePort(t), at: "/readyz"}
		file := filepath.Join(c.dir, fmt.Sprintf("portico-%d.yaml", i))
		text := fmt.Sprintf(clusterConfig, c.public, p.port, store, c.idp.url(), c.ehr.url()) + more
		if err := errors.Join(os.Mkdir(c.folder(i), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		p.make = func() *exec.Cmd {
			cmd := exec.Command(path, "serve", "-config", file)
			cmd.Dir = c.folder(i)
			cmd.Env = append(os.Environ(), partKey+"="+key)
			return cmd
		}
		c.each[i] = p
	}
	all := []*process{c.ehr, c.idp, c.each[0], c.each[1]}
	t.Cleanup(func() {
		for _, p := range all {
			_ = p.end(syscall.SIGKILL)
		}
	})
	for _, some := range [][]*process{all[:2], all[2:]} { // the replicas at the same moment
		for _, p := range some {
			p.launch()
		}
		for _, p := range some {
			p.ready()
		}
	}
	return c
}

func (c *cluster) balance(w http.ResponseWriter, r *http.Request) {
	to, _ := url.Parse(c.each[c.turn.Add(1)%2].url())
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		p.Out.Host = r.Host
	}}
	proxy.ServeHTTP(w, r)
}

// fhir is the FHIR base at one replica.
func (c *cluster) fhir(i int) string { return c.each[i].url() + "/fhir/demo" }

const replicaScopes = "openid fhirUser launch/patient offline_access patient/Patient.rs patient/Observation.rs patient/Condition.rs"

// signIn lets a person in through the balancer, so that every step is at another
// replica than the one before, and gives the code.
func (c *cluster) signIn(t *testing.T, login string) (code, pkce string) {
	t.Helper()
	at := c.atConsent(t, login)
	return at.b.allow().arrived().Get("code"), at.pkce
}

type consenting struct {
	b    *browser
	pkce string
}

func (c *cluster) authorizeURL(pkce string) string {
	return c.public + "/oauth/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {"my-app"}, "redirect_uri": {replicaApp}, "scope": {replicaScopes}, "state": {"s"},
		"aud": {c.public + "/fhir/demo"}, "code_challenge": {oauth2.S256ChallengeFromVerifier(pkce)}, "code_challenge_method": {"S256"},
	}.Encode()
}

// begin is what somebody sees who comes from the app.
func (c *cluster) begin(t *testing.T) (int, string) {
	t.Helper()
	b := newBrowser(t, replicaApp).do(http.MethodGet, c.authorizeURL(oauth2.GenerateVerifier()), nil)
	return b.last.StatusCode, b.body
}

func (c *cluster) atConsent(t *testing.T, login string) consenting {
	t.Helper()
	pkce := oauth2.GenerateVerifier()
	return consenting{newBrowser(t, replicaApp).do(http.MethodGet, c.authorizeURL(pkce), nil).signIn(login), pkce}
}

// tokens is a token response.
type tokens struct {
	Status  int
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Patient string `json:"patient"`
	Error   string `json:"error"`
}

// post sends a form to one replica.
func (c *cluster) post(t *testing.T, i int, path string, form url.Values) tokens {
	t.Helper()
	resp, err := http.PostForm(c.each[i].url()+path, form)
	if err != nil {
		t.Error(err)
		return tokens{}
	}
	defer resp.Body.Close()
	out := tokens{Status: resp.StatusCode}
	_ = json.NewDecoder(resp.Body).Decode(&out) // a revocation has no body
	return out
}

func (c *cluster) exchange(t *testing.T, i int, code, pkce string) tokens {
	t.Helper()
	return c.post(t, i, "/oauth/token", url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"my-app"}, "code": {code}, "code_verifier": {pkce}, "redirect_uri": {replicaApp},
	})
}

func (c *cluster) refresh(t *testing.T, i int, refresh string) tokens {
	t.Helper()
	return c.post(t, i, "/oauth/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {"my-app"}, "refresh_token": {refresh}})
}

func (c *cluster) connect(t *testing.T, i int, login string) tokens {
	t.Helper()
	code, pkce := c.signIn(t, login)
	got := c.exchange(t, i, code, pkce)
	if got.Status != http.StatusOK {
		t.Fatalf("exchange: %+v", got)
	}
	return got
}

// status is what a replica answers when it is asked for the patient's own record.
func (c *cluster) status(t *testing.T, i int, k tokens) int {
	t.Helper()
	status, _ := fetch(t, c.fhir(i)+"/Patient/"+k.Patient, k.Access)
	return status
}

// newPostgresCluster gives a cluster over a PostgreSQL of its own.
func newPostgresCluster(t *testing.T, more ...string) (*cluster, *services.Postgres, string) {
	t.Helper()
	p := services.StartPostgres(t, services.PostgresOptions{Durable: true})
	at := p.Database(t)
	t.Setenv("PORTICO_TEST_STORE", at)
	return newCluster(t, "{postgres: {url: {env: PORTICO_TEST_STORE}}}", strings.Join(more, "")), p, at
}

// withRedis is what the configuration says of a cache in a Redis.
func withRedis(r *services.Redis) string {
	return fmt.Sprintf("redis: {addresses: [%q]}\ncache: {ttl: 1s, stale_while_revalidate: 1s}\n", r.Addr)
}

func TestTwoReplicasAreOne(t *testing.T) {
	t.Run("PostgreSQL", func(t *testing.T) {
		c, _, _ := newPostgresCluster(t)
		c.areOne(t)
	})
	t.Run("PostgreSQL and Redis", func(t *testing.T) {
		c, _, _ := newPostgresCluster(t, withRedis(services.StartRedis(t)))
		c.areOne(t)
	})
}

func (c *cluster) areOne(t *testing.T) {
	t.Run("a token of one is good at the other", func(t *testing.T) {
		for i := range 2 {
			k := c.connect(t, i, "alice")
			if got := c.status(t, 1-i, k); got != http.StatusOK {
				t.Errorf("status %d", got)
			}
		}
	})
	t.Run("a code that is used at both at once is good once, and then nothing of it is good", func(t *testing.T) {
		for range 5 {
			code, pkce := c.signIn(t, "alice")
			var got [2]tokens
			var wg sync.WaitGroup
			for i := range got {
				wg.Go(func() { got[i] = c.exchange(t, i, code, pkce) })
			}
			wg.Wait()
			won := 0
			for _, k := range got {
				if k.Status != http.StatusOK {
					continue
				}
				won++
				for i := range 2 {
					if s := c.status(t, i, k); s != http.StatusUnauthorized {
						t.Errorf("a token of a replayed code: %d", s)
					}
				}
			}
			if won > 1 {
				t.Error("the code was good twice")
			}
		}
	})
	t.Run("a refresh token of before is a replay at the other", func(t *testing.T) {
		k := c.connect(t, 0, "alice")
		next := c.refresh(t, 1, k.Refresh)
		if next.Status != http.StatusOK || c.status(t, 0, next) != http.StatusOK {
			t.Fatalf("%+v", next)
		}
		if again := c.refresh(t, 0, k.Refresh); again.Error != "invalid_grant" {
			t.Errorf("%+v", again)
		}
		for i := range 2 {
			if s := c.status(t, i, next); s != http.StatusUnauthorized {
				t.Errorf("after a replay: %d", s)
			}
		}
	})
	t.Run("what is revoked at one is over at the other at once", func(t *testing.T) {
		k := c.connect(t, 0, "alice")
		if got := c.post(t, 0, "/oauth/revoke", url.Values{"client_id": {"my-app"}, "token": {k.Access}}); got.Status != http.StatusOK {
			t.Fatalf("%+v", got)
		}
		if s := c.status(t, 1, k); s != http.StatusUnauthorized {
			t.Errorf("status %d", s)
		}
	})
	t.Run("a link of one leads on at the other", func(t *testing.T) {
		k := c.connect(t, 0, "alice")
		next, seen := c.fhir(0)+"/Observation?category=laboratory&_count=20", map[string]bool{}
		for page := 0; next != "" && page < 4; page++ {
			_, body := fetch(t, next, k.Access)
			bundle := readBundle(t, body)
			for _, id := range bundle.ids() {
				if seen[id] {
					t.Errorf("%s twice", id)
				}
				seen[id] = true
			}
			next = strings.Replace(bundle.next(), c.public, c.each[page%2].url(), 1)
		}
		if len(seen) != 80 {
			t.Errorf("%d resources on four pages of 20", len(seen))
		}
	})
	t.Run("a form that is sent twice, to both, is one answer", func(t *testing.T) {
		at := c.atConsent(t, "alice")
		twin := &browser{t: t, app: at.b.app, last: at.b.last, body: at.b.body, client: at.b.client}
		var locations [2]string
		var wg sync.WaitGroup
		for i, b := range []*browser{at.b, twin} {
			wg.Go(func() { locations[i] = b.allow().last.Header.Get("Location") })
		}
		wg.Wait()
		if locations[0] == "" || locations[0] != locations[1] {
			t.Errorf("sent to %v", locations)
		}
	})
	t.Run("a key that is rotated is in the key set of both at once", func(t *testing.T) {
		path, _ := binary()
		cmd := exec.Command(path, "keys", "rotate", "-config", filepath.Join(c.dir, "portico-0.yaml"), "-compromised")
		cmd.Env = append(os.Environ(), partKey+"="+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32)))
		_, before := fetch(t, c.each[0].url()+"/oauth/jwks", "")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		_, one := fetch(t, c.each[0].url()+"/oauth/jwks", "")
		_, other := fetch(t, c.each[1].url()+"/oauth/jwks", "")
		if one != other || one == before || !strings.Contains(one, `"kid"`) {
			t.Errorf("before %s\none %s\nother %s", before, one, other)
		}
	})
	t.Run("one is killed, the other goes on; the first joins again", func(t *testing.T) {
		k := c.connect(t, 0, "alice")
		_ = c.each[0].end(syscall.SIGKILL)
		if s := c.status(t, 1, k); s != http.StatusOK {
			t.Errorf("status %d", s)
		}
		next := c.refresh(t, 1, k.Refresh)
		c.each[0].start()
		if s := c.status(t, 0, next); s != http.StatusOK {
			t.Errorf("after the restart: %d", s)
		}
	})
}

// page is what is looked at of a Bundle.
type page struct {
	Type  string `json:"resourceType"`
	Link  []struct{ Relation, URL string }
	Entry []struct {
		Search   struct{ Mode string }
		Resource json.RawMessage
	}
}

func readBundle(t *testing.T, body string) page {
	t.Helper()
	var p page
	if err := json.Unmarshal([]byte(body), &p); err != nil || p.Type != "Bundle" {
		t.Fatalf("not a Bundle: %v\n%.300s", err, body)
	}
	return p
}

func (p page) next() string {
	for _, l := range p.Link {
		if l.Relation == "next" {
			return l.URL
		}
	}
	return ""
}

func (p page) ids() []string {
	var out []string
	for _, e := range p.Entry {
		var r struct{ ResourceType, ID string }
		if json.Unmarshal(e.Resource, &r) == nil && r.ResourceType != "OperationOutcome" {
			out = append(out, r.ResourceType+"/"+r.ID)
		}
	}
	return out
}
