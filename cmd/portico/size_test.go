package main

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/store"
	"github.com/portico-fhir/portico/smart/token"
)

// sizeFor is how long each row of TestSize is measured.
const sizeFor = "PORTICO_SIZE"

// sizes collects the table of docs/operations.md.
type sizes struct {
	lasts time.Duration
	out   strings.Builder
}

const sizeConnections = 32

// row measures one kind of request at a process; the first second is not counted.
func (s *sizes) row(t *testing.T, name string, pid int, f fire) {
	t.Helper()
	f.each = cmp.Or(f.each, sizeConnections)
	f.lasts = time.Second
	f.run(t)
	f.lasts = s.lasts
	before, _ := used(t, pid)
	b := f.run(t)
	after, resident := used(t, pid)
	f.each = 1
	alone := f.run(t)
	fmt.Fprintf(&s.out, "| %s | %.0f | %.1f ms | %.1f ms | %.2f ms | %.0f MiB |\n", name, float64(b.requests)/(after-before),
		ms(b.percentile(50)), ms(b.percentile(99)), ms(alone.percentile(50)), resident)
	t.Log(strings.TrimSpace(s.out.String()[strings.LastIndex(strings.TrimSpace(s.out.String()), "\n")+1:]))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// TestSize measures what `make bench` prints of one Portico with one processor,
// as a process of its own, under a load that compares each answer: a search that
// gives 20 Observations, 20 kB, and beside it servers that only hand that on.
func TestSize(t *testing.T) {
	lasts, err := time.ParseDuration(os.Getenv(sizeFor))
	if err != nil {
		t.Skip("is part of make bench: " + sizeFor + " says how long each row takes, such as 3s")
	}
	t.Setenv("GOMAXPROCS", "1") // of the processes that are measured
	s := &sizes{lasts: lasts}
	for _, o := range []deploymentOptions{
		{Cache: "{ttl: 10m, memory: 256}"},
		{Cache: "{ttl: 10m, memory: 256}", Postgres: true, Durable: true},
		{Cache: "{ttl: 10m, memory: 256}", Postgres: true, Durable: true, Redis: true},
	} {
		o.Replicas, o.Patients, o.Log = 1, 2, "info"
		t.Run(o.String(), func(t *testing.T) { s.deployment(t, o) })
	}
	t.Run("peers", s.peers)
	text := "| | requests a CPU second | p50 of 32 at once | p99 | p50 of one alone | memory |\n|---|---|---|---|---|---|\n" + s.out.String()
	t.Log("\n" + text)
	if dir := os.Getenv("ARTIFACTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, "size.md"), []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
}

// sizePath is what is searched for.
const sizePath = "/Observation?category=exam&_count=20"

// weigh gives a patient 20 Observations of 1 kB.
func (w *ward) weigh(t *testing.T, patient string) {
	t.Helper()
	for i := range 20 {
		raw := w.observation(patient, fmt.Sprintf("exam-%d", i), "exam", int64(i))
		w.load(t, raw[:len(raw)-1]+`,"note":[{"text":"`+strings.Repeat("x", 1000-len(raw)-80)+`"}]}`)
	}
}

func (s *sizes) deployment(t *testing.T, o deploymentOptions) {
	d, driver, at := deploy(t, o)
	w, m, p := d.wards[0], d.members[0], d.each[0]
	w.weigh(t, m.patient)
	get := func(path, access, more string) string {
		return fmt.Sprintf("GET /fhir/%s%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n%s\r\n", w.name, path, access, more)
	}
	access := m.now.Load().Access
	hit := fire{address: strings.TrimPrefix(p.url(), "http://"), check: unchanging(sizeConnections), request: func(int, int) string { return get(sizePath, access, "") }}
	pid := p.cmd.Process.Pid
	s.row(t, o.String()+": the answer as it left", pid, hit)
	if !o.Redis {
		kept, missed := hit, hit
		// What is part of the question and decides nothing.
		kept.request = func(i, n int) string {
			return get(sizePath, access, fmt.Sprintf("Prefer: x=%d-%d-%d\r\n", i, n, time.Now().UnixNano()))
		}
		missed.request = func(int, int) string { return get(sizePath, access, "Cache-Control: no-store\r\n") }
		s.row(t, o.String()+": judged again", pid, kept)
		s.row(t, o.String()+": asked of the EHR", pid, missed)
		s.row(t, o.String()+": a token by a refresh token", pid, d.refreshing(t))
	}
	fmt.Fprintf(&s.out, "| after that: %s | | | | | |\n", d.connections(t))
	if !o.Postgres {
		secure, at := d.secure(t)
		overTLS := hit
		overTLS.address, overTLS.tls, overTLS.check = at.address, at.tls, unchanging(sizeConnections)
		s.row(t, o.String()+", TLS: the answer as it left", secure.cmd.Process.Pid, overTLS)
	}
	s.patients(t, d, driver, at, get)
}

// refreshing takes turns with the refresh tokens of all members.
func (d *deployment) refreshing(t *testing.T) fire {
	t.Helper()
	now := make([]tokens, len(d.members))
	for i, m := range d.members {
		now[i] = m.now.Load().tokens
	}
	return fire{
		address: strings.TrimPrefix(d.each[0].url(), "http://"), each: len(now),
		request: func(i, _ int) string {
			form := url.Values{"grant_type": {"refresh_token"}, "client_id": {d.members[i].app}, "refresh_token": {now[i].Refresh}}.Encode()
			return fmt.Sprintf("POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(form), form)
		},
		check: func(i, status int, body []byte) error {
			if err := json.Unmarshal(body, &now[i]); err != nil || status != http.StatusOK {
				return fmt.Errorf("%d %w", status, err)
			}
			return nil
		},
	}
}

// secure is another Portico over the same state that speaks TLS.
func (d *deployment) secure(t *testing.T) (*process, fire) {
	t.Helper()
	dir, pool := t.TempDir(), x509.NewCertPool()
	cert := writeCert(t, dir, "localhost", time.Now().Add(time.Hour), pool)
	port := freePort(t)
	text, err := os.ReadFile(filepath.Join(d.dir, "portico-0.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "listen:"):
			lines[i] = fmt.Sprintf("listen: 127.0.0.1:%d\ntls: {cert_file: %q, key_file: %q}", port, cert.CertFile, cert.KeyFile)
		case strings.HasPrefix(line, "public_url:"):
			lines[i] = fmt.Sprintf("public_url: https://localhost:%d", port)
		}
	}
	d.each = append(d.each, nil)
	d.replica(t, len(d.each)-1, port, strings.Join(lines, "\n"))
	p := d.each[len(d.each)-1]
	d.each = d.each[:len(d.each)-1]
	f := fire{address: fmt.Sprintf("localhost:%d", port), tls: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	eventually(t, "TLS", func() error {
		c, err := tls.Dial("tcp", f.address, f.tls)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	return p, f
}

// patients measures what 1,000 people who have just read 20 kB each cost.
func (s *sizes) patients(t *testing.T, d *deployment, driver, at string, get func(path, access, more string) string) {
	t.Helper()
	const people = 1000
	o := store.Options{Path: at}
	if driver == "pgx" {
		o = store.Options{Postgres: store.Postgres{URL: at, MaxConnections: 2}}
	}
	state, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var access []string
	for i := range people {
		secret, digest := token.NewSecret(rand.Reader)
		now, p := time.Now(), fmt.Sprintf("p%d", 100+i)
		g := token.Grant{
			ID: "grant-" + p, Client: "app-one", Source: "north", Patient: p, PersonIssuer: "iss", PersonSubject: p, FHIRUser: "Patient/" + p,
			Scopes: "patient/*.rs", AuthTime: now, Created: now, Expires: now.Add(time.Hour),
		}
		if err := state.CreateService(t.Context(), g, token.Access{Digest: digest, Scopes: g.Scopes, Issued: now, Expires: g.Expires}); err != nil {
			t.Fatal(err)
		}
		access = append(access, secret)
		d.wards[0].load(t, fmt.Sprintf(`{"resourceType":"Patient","id":%q}`, p))
		d.wards[0].weigh(t, p)
	}
	if err := state.Close(); err != nil {
		t.Fatal(err)
	}
	p := d.each[0]
	_ = p.end(syscall.SIGTERM) // nothing of before is in its memory
	p.start()
	ask := fire{
		address: strings.TrimPrefix(p.url(), "http://"), each: 1, lasts: time.Second,
		request: func(_, n int) string { return get(sizePath, access[n%people], "") },
		check: func(_, status int, body []byte) error {
			if status != http.StatusOK || len(body) < 20_000 {
				return fmt.Errorf("%d %.300s", status, body)
			}
			return nil
		},
	}
	hundred := ask
	hundred.request = func(_, n int) string { return get(sizePath, access[n%100], "") }
	hundred.run(t)
	_, before := used(t, p.cmd.Process.Pid)
	for done := 0; done < people; {
		from, now := done, ask
		now.request = func(_, n int) string { return get(sizePath, access[(from+n)%people], "") }
		done += now.run(t).requests
	}
	_, after := used(t, p.cmd.Process.Pid)
	fmt.Fprintf(&s.out, "| memory with 100 people, and with 1,000 | | | | | %.0f MiB, %.0f MiB |\n", before, after)
}

// connections counts a replica's TCP connections to what stands behind it.
func (d *deployment) connections(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("ss", "-Htnp", "state", "established").Output()
	if err != nil {
		return "connections not counted: " + err.Error()
	}
	names := map[string]string{d.redis: "Redis", d.database: "PostgreSQL"}
	for _, w := range d.wards {
		names[strings.TrimPrefix(w.server.URL, "http://")] = "the EHR"
	}
	count := map[string]int{"Redis": 0, "PostgreSQL": 0, "the EHR": 0}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) >= 5 && strings.Contains(f[4], fmt.Sprintf("pid=%d,", d.each[0].cmd.Process.Pid)) && names[f[3]] != "" {
			count[names[f[3]]]++
		}
	}
	return fmt.Sprintf("connections to Redis %d, PostgreSQL %d, the EHR %d", count["Redis"], count["PostgreSQL"], count["the EHR"])
}

// peers are servers that give the same 20 kB and do nothing else.
func (s *sizes) peers(t *testing.T) {
	root := t.TempDir()
	body := bytes.Repeat([]byte("x"), 20<<10)
	if err := os.WriteFile(filepath.Join(root, "body"), body, 0o644); err != nil {
		t.Fatal(err)
	}
	up := &process{t: t, port: freePort(t), at: "/body"}
	up.make = func() *exec.Cmd { return peerCommand("plain", up.port, "") }
	up.start()
	proxy := &process{t: t, port: freePort(t), at: "/body"}
	proxy.make = func() *exec.Cmd { return peerCommand("proxy", proxy.port, up.url()) }
	proxy.start()
	all := map[string]*process{"a Go server that writes 20 kB": up, "Go's reverse proxy": proxy}
	if nginx, err := exec.LookPath("nginx"); err == nil {
		for name, location := range map[string]string{"nginx, a file": "root " + root + ";", "nginx, proxy": "proxy_pass http://up;"} {
			p := &process{t: t, port: freePort(t), at: "/body"}
			p.make = func() *exec.Cmd { return nginxCommand(t, nginx, p.port, up.port, location) }
			p.start()
			all[name] = p
		}
	}
	for name, p := range all {
		t.Cleanup(func() { _ = p.end(syscall.SIGKILL) })
		s.row(t, name, p.cmd.Process.Pid, fire{
			address: strings.TrimPrefix(p.url(), "http://"), check: unchanging(sizeConnections),
			request: func(int, int) string { return "GET /body HTTP/1.1\r\nHost: localhost\r\n\r\n" },
		})
	}
}

func peerCommand(name string, port int, to string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestPeer$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), partEnv+"="+name, fmt.Sprintf("%s=%d", partPort, port), partCallback+"="+to)
	return cmd
}

func nginxCommand(t *testing.T, nginx string, port, up int, location string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(`daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 100000000; sendfile on; tcp_nopush on;
 client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
 upstream up { server 127.0.0.1:%d; keepalive 64; keepalive_requests 100000000; }
 server { listen 127.0.0.1:%d; location / { %s proxy_http_version 1.1; proxy_set_header Connection ""; } } }`, up, port, location)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.Command(nginx, "-p", dir, "-e", "stderr", "-c", file, "-g", "user root;")
}

// TestPeer is one of the peers when TestSize starts it; alone it does nothing.
func TestPeer(t *testing.T) {
	var h http.Handler
	switch os.Getenv(partEnv) {
	case "plain":
		body := bytes.Repeat([]byte("x"), 20<<10)
		h = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/fhir+json")
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			_, _ = w.Write(body)
		})
	case "proxy":
		to, err := url.Parse(os.Getenv(partCallback))
		if err != nil {
			t.Fatal(err)
		}
		p := httputil.NewSingleHostReverseProxy(to)
		p.Transport = &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
		h = p
	default:
		return
	}
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv(partPort), Handler: h, ReadHeaderTimeout: time.Minute}
	t.Fatal(server.ListenAndServe())
}
