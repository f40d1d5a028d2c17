package main

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/portico-fhir/portico/internal/demo/idp"
	"github.com/portico-fhir/portico/internal/services"
)

// deployment is one or more Porticos, each a process of the program as it is
// shipped, in front of two EHRs that have the same ids, with everybody who uses
// them signed in.
type deployment struct {
	t        *testing.T
	dir      string
	public   string
	cached   bool
	redis    string // host:port
	database string // likewise
	wards    []*ward
	patients []string
	each     []*process
	members  []*member
	writers  map[string]*member // by ward and patient; their tokens are not revoked
	turn     atomic.Int64
}

const (
	crowdNotify = "notify-notify-notify-notify-notify-notify"
	// loadFor makes the load longer: how long it is to last with each deployment.
	loadFor = "PORTICO_LOAD"
)

const deploymentConfig = `
public_url: %[1]s
listen: 127.0.0.1:%[2]d
store: %[3]s
seal_key: {env: ` + partKey + `}
identity_providers:
  - {id: provider, issuer: "%[4]s", client_id: portico, client_secret: {file: provider.secret}}
sources:
  - {id: north, name: North, fhir_base: "%[5]s/fhir", write: [{type: Observation, interactions: [update]}]%[7]s}
  - {id: south, name: South, fhir_base: "%[6]s/fhir", write: [{type: Observation, interactions: [update]}]%[7]s}
clients:
  - {id: app-one, name: One, type: public, redirect_uris: ["` + replicaApp + `"]}
  - {id: app-two, name: Two, type: public, redirect_uris: ["` + replicaApp + `"]}
log: {level: %[9]s}
%[8]s`

// deploymentOptions say how it is put up.
type deploymentOptions struct {
	Replicas, Patients int
	Postgres, Redis    bool
	Durable            bool   // a PostgreSQL of its own that waits for the disk
	Log                string // level; warn when ""
	Cache              string // what stands under that key; "" for none
}

func (o deploymentOptions) String() string {
	store, with := "SQLite", ""
	if o.Postgres {
		store = "PostgreSQL"
	}
	if o.Redis {
		with = " and Redis"
	}
	kept := "no cache"
	if o.Cache != "" {
		kept = "a cache"
	}
	return fmt.Sprintf("%d at %s%s with %s", o.Replicas, store, with, kept)
}

// deploy starts everything and signs everybody in.
func deploy(t *testing.T, o deploymentOptions) (d *deployment, driver, store string) {
	t.Helper()
	services.Need(t)
	d = &deployment{t: t, dir: t.TempDir(), cached: o.Cache != "", each: make([]*process, o.Replicas), writers: map[string]*member{}}
	for i := range o.Patients {
		d.patients = append(d.patients, fmt.Sprintf("p%d", i))
	}
	d.wards = []*ward{newWard(t, "north", d.patients), newWard(t, "south", d.patients)}
	front := httptest.NewServer(http.HandlerFunc(d.balance))
	t.Cleanup(front.Close)
	d.public = strings.Replace(front.URL, "127.0.0.1", "localhost", 1)
	driver, store = "sqlite", filepath.Join(d.dir, "state.sqlite")
	under, more := fmt.Sprintf("{sqlite: %q}", store), ""
	if o.Postgres {
		driver = "pgx"
		if o.Durable {
			store = services.StartPostgres(t, services.PostgresOptions{Durable: true}).Database(t)
		} else {
			store = services.Database(t)
		}
		t.Setenv("PORTICO_TEST_STORE", store)
		if at, err := url.Parse(store); err == nil {
			d.database = at.Host
		}
		under = "{postgres: {url: {env: PORTICO_TEST_STORE}}}"
	}
	if o.Redis {
		d.redis = services.StartRedis(t).Addr
		more = fmt.Sprintf("redis: {addresses: [%q]}\n", d.redis)
	}
	notify := ""
	if o.Cache != "" {
		more += "cache: " + o.Cache + "\n"
		notify = ", notify: {token: {file: notify.token}}"
	}
	for name, text := range map[string]string{"provider.secret": partSecret, "notify.token": crowdNotify} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	issuer := d.provider(t)
	for i := range d.each {
		port := freePort(t)
		d.replica(t, i, port, fmt.Sprintf(deploymentConfig, d.public, port, under, issuer, d.wards[0].server.URL, d.wards[1].server.URL, notify, more, cmp.Or(o.Log, "warn")))
	}
	for _, p := range d.each {
		p.ready()
	}
	d.everybody(t)
	return d, driver, store
}

// replica launches one Portico.
func (d *deployment) replica(t *testing.T, i, port int, text string) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(d.dir, fmt.Sprintf("portico-%d.yaml", i))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, port: port, at: "/readyz"}
	p.make = func() *exec.Cmd {
		cmd := exec.Command(path, "serve", "-config", file)
		cmd.Env = append(os.Environ(), partKey+"="+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32)))
		return cmd
	}
	d.each[i] = p
	p.launch()
	t.Cleanup(func() {
		if err := p.end(syscall.SIGTERM); err != nil {
			t.Errorf("replica %d: %v\n%s", i, err, p.log.String())
		}
	})
}

// balance gives every request to the other replica than the one before.
func (d *deployment) balance(w http.ResponseWriter, r *http.Request) {
	to, _ := url.Parse(d.each[int(d.turn.Add(1))%len(d.each)].url())
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		p.Out.Host = r.Host
	}}
	proxy.ServeHTTP(w, r)
}

// provider knows everybody, each as a patient of both EHRs.
func (d *deployment) provider(t *testing.T) (issuer string) {
	t.Helper()
	at := &later{}
	s := httptest.NewServer(at)
	t.Cleanup(s.Close)
	var people []idp.Person
	for _, p := range d.patients {
		people = append(people, idp.Person{Login: p, Password: "demo", Name: "N", Email: p + "@example.org", Story: "A person.", FHIRUser: []string{"Patient/" + p}})
	}
	var err error
	at.Handler, err = idp.New(idp.Options{
		Issuer: s.URL, Name: "Provider", People: people,
		Clients: []idp.Client{{ID: "portico", Secret: partSecret, RedirectURIs: []string{d.public + "/login/callback"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.URL
}

// everybody signs in and agrees: each patient, at each EHR, for each app, with
// each set of rights.
func (d *deployment) everybody(t *testing.T) {
	t.Helper()
	for i, p := range d.patients {
		b := newBrowser(t, replicaApp)
		for _, w := range d.wards {
			for _, app := range []string{"app-one", "app-two"} {
				for _, scopes := range slices.Sorted(maps.Keys(crowdScopes)) {
					d.members = append(d.members, d.join(t, b, &member{ward: w, patient: p, app: app, scopes: scopes, other: d.patients[(i+1)%len(d.patients)]}))
				}
			}
			d.writers[w.name+p] = d.join(t, b, &member{ward: w, patient: p, app: "app-one", scopes: "all"})
		}
	}
}

func (d *deployment) join(t *testing.T, b *browser, m *member) *member {
	t.Helper()
	pkce := oauth2.GenerateVerifier()
	b.do(http.MethodGet, d.public+"/oauth/authorize?"+url.Values{
		"response_type": {"code"}, "client_id": {m.app}, "redirect_uri": {replicaApp}, "state": {"s"}, "aud": {d.public + "/fhir/" + m.ward.name},
		"scope":          {"openid fhirUser launch/patient offline_access patient/Patient.rs " + crowdScopes[m.scopes]},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(pkce)}, "code_challenge_method": {"S256"},
	}.Encode(), nil)
	if strings.Contains(b.body, `name="password"`) {
		b.signIn(m.patient)
	}
	code := b.allow().arrived().Get("code")
	got := d.post(t, int(d.turn.Load())%len(d.each), "/oauth/token", url.Values{
		"grant_type": {"authorization_code"}, "client_id": {m.app}, "code": {code}, "code_verifier": {pkce}, "redirect_uri": {replicaApp},
	})
	if got.Status != http.StatusOK || got.Patient != m.patient || got.Refresh == "" {
		t.Fatalf("exchange: %+v", got)
	}
	m.now.Store(&credential{tokens: got})
	return m
}

// post sends a form to one replica.
func (d *deployment) post(t *testing.T, i int, path string, form url.Values) tokens {
	t.Helper()
	status, body := ask(t, http.MethodPost, d.each[i].url()+path, "", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	out := tokens{Status: status}
	_ = json.Unmarshal([]byte(body), &out) // a revocation has no body
	return out
}

// TestEverybodyGetsTheirOwnUnderLoad reads as many patients, apps and rights at
// two EHRs at once, while records change through Portico and behind it and tokens
// end, and judges every body. PORTICO_LOAD=30s is the long form.
func TestEverybodyGetsTheirOwnUnderLoad(t *testing.T) {
	rows := []deploymentOptions{
		{Replicas: 1, Cache: "{ttl: 10m}"},
		{Replicas: 2, Postgres: true, Redis: true, Cache: "{ttl: 10m}"},
	}
	rounds, patients, workers, long := 30, 2, 6, time.Duration(0)
	if text := os.Getenv(loadFor); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
		patients, workers = 12, 16
		rows = append(rows, deploymentOptions{Replicas: 1}, deploymentOptions{Replicas: 1, Redis: true, Cache: "{ttl: 2s, stale_if_error: 1m}"},
			deploymentOptions{Replicas: 2, Postgres: true}, deploymentOptions{Replicas: 1, Postgres: true, Cache: "{ttl: 10m, refresh: {active: 5m}}"})
	}
	for _, o := range rows {
		t.Run(o.String(), func(t *testing.T) {
			o.Patients = patients
			d, driver, store := deploy(t, o)
			begun := time.Now()
			l := d.crowd(t, workers)
			l.run(t, rounds, begun.Add(long))
			f := l.stop(t, o.String(), 0)
			t.Logf("%d members, %d answers from what is kept, %d tokens refused, %.0f requests/s, %.0f of them a CPU second of the replicas",
				len(d.members), l.hits.Load(), l.refuses.Load(), float64(f.Requests)/time.Since(begun).Seconds(), float64(f.Requests)/d.cpu(t))
			if f.Refused+f.Closed+f.Lost > 0 || l.refuses.Load() == 0 || (l.hits.Load() > 0) != (o.Cache != "") {
				t.Errorf("%+v, %d hits, %d refused tokens", f, l.hits.Load(), l.refuses.Load())
			}
			l.checkAudited(t, auditedRequests(t, driver, store))
		})
	}
}

// cpu is what the replicas have used, in seconds.
func (d *deployment) cpu(t *testing.T) float64 {
	t.Helper()
	sum := 0.0
	for _, p := range d.each {
		cpu, _ := used(t, p.cmd.Process.Pid)
		sum += cpu
	}
	return sum
}

// used gives the CPU time that a process has had, in seconds, and its memory, in MiB.
func used(t *testing.T, pid int) (cpu, resident float64) {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+2:]))
	var user, system, pages float64
	for i, to := range map[int]*float64{11: &user, 12: &system, 21: &pages} { // proc(5): utime, stime, rss
		if _, err := fmt.Sscan(f[i], to); err != nil {
			t.Fatal(err)
		}
	}
	return (user + system) / 100, pages * float64(os.Getpagesize()) / (1 << 20)
}
