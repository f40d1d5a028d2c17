package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portico-fhir/portico/config"
	sampleapp "github.com/portico-fhir/portico/internal/demo/app"
	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/internal/demo/idp"
	"github.com/portico-fhir/portico/internal/demo/records"
)

const (
	demoSource = "demo"
	demoName   = "Saguaro Valley Health"
	demoClient = "demo-app"
	demoOwnApp = "my-app"

	// The provider of the demo lets anybody in as anyone: this secret guards nothing.
	demoOwnPortico = "my-portico"
	demoOwnSecret  = "my-portico-secret" //nolint:gosec // as the comment says

	demoPatients = 20
	demoSeed     = 1
	demoOnList   = 30 // patients on the EHR's screen

	loadingGCPercent = 25
)

// demoOptions is what the flags of portico demo say.
type demoOptions struct {
	host      string
	port      int
	patients  int
	records   string
	redirects []string
	portico   string
	verbose   bool
}

func demoFlags(args []string, out io.Writer) (demoOptions, error) {
	var o demoOptions
	f := flag.NewFlagSet("portico demo", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&o.host, "host", "localhost", "loopback `address` to listen on; nothing else is accepted")
	f.IntVar(&o.port, "port", 8080, "port of Portico; the EHR, the provider and the app take the three after it")
	f.IntVar(&o.patients, "patients", demoPatients, "how many patients to make up")
	f.StringVar(&o.records, "records", "", "load the NDJSON files of this `folder` instead of making up patients")
	f.Func("redirect", "redirect `URL` of an app of your own, which gets the client id "+demoOwnApp+"; may be repeated", func(s string) error {
		o.redirects = append(o.redirects, s)
		return nil
	})
	f.StringVar(&o.portico, "portico", "", "public `URL` of a Portico of your own on this machine (portico serve), which may then use the demo's provider as client "+demoOwnPortico)
	f.BoolVar(&o.verbose, "verbose", false, "log every request")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("portico demo takes no arguments but flags; %q is none", f.Arg(0))
	case o.port < 1 || o.port > 65532:
		return o, fmt.Errorf("-port must be between 1 and 65532, so that the three ports after it exist too")
	case o.patients < 1:
		return o, fmt.Errorf("-patients must be at least 1")
	}
	if u, err := url.Parse(o.portico); err != nil || (o.portico != "" && (u.Host == "" || u.Path != "" || u.RawQuery != "")) {
		return o, fmt.Errorf("-portico must be scheme, host and port of a Portico on this machine, as in its public_url")
	}
	return o, nil
}

// demo runs an EHR, an OpenID provider, Portico and an app in one process, on
// loopback only: none of the four would be safe anywhere else.
func demo(ctx context.Context, args []string, out io.Writer) error {
	o, err := demoFlags(args, out)
	if err != nil {
		return err
	}
	at, err := demoListen(ctx, o.host, o.port)
	if err != nil {
		return err
	}
	defer at.close()
	dir, err := os.MkdirTemp("", "portico-demo-")
	if err != nil {
		return fmt.Errorf("a folder for the demo's state: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	hospital := ehr.New(ehr.Options{})
	// Loading makes much and throws little away: collecting often costs time and
	// saves more than half of the memory that the largest demos need.
	usual := debug.SetGCPercent(loadingGCPercent)
	cast, err := demoRecords(o, at.url(1)+"/fhir", hospital, out)
	debug.SetGCPercent(usual)
	if err != nil {
		return err
	}
	secret, err := randomHex()
	if err != nil {
		return err
	}
	provider, err := demoProvider(o, at, cast, secret)
	if err != nil {
		return err
	}
	launch, err := randomHex()
	if err != nil {
		return err
	}
	cfg, err := demoConfig(o, at, secret, filepath.Join(dir, "portico.sqlite"))
	if err != nil {
		return err
	}
	front, err := demoScreen(at, cfg, cast, launch, hospital)
	if err != nil {
		return err
	}
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelInfo
	}
	portico, err := build(ctx, cfg, slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level})))
	if err != nil {
		return err
	}
	sample, err := sampleapp.Handler(sampleapp.Options{
		FHIRBase: at.url(0) + "/fhir/" + demoSource, ClientID: demoClient, RedirectURI: at.url(3) + sampleapp.RedirectPath, HealthSystem: demoName,
	})
	if err != nil {
		return errors.Join(err, portico.Close(ctx))
	}
	failed := at.serve([]http.Handler{portico.Handler, front, provider, sample})
	demoGreeting(out, o, at, cast, hospital.Len())
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	at.shutdown()
	return errors.Join(err, portico.Close(context.WithoutCancel(ctx)))
}

// demoRecords fills the EHR, which is served at base, and gives the people who can sign in.
func demoRecords(o demoOptions, base string, hospital *ehr.Server, out io.Writer) (*records.Cast, error) {
	if o.records != "" {
		cast, err := records.LoadDir(o.records, hospital.Load)
		if err != nil {
			return nil, fmt.Errorf("-records: %w", err)
		}
		if len(cast.People) == 0 {
			return nil, fmt.Errorf("-records: there is no Patient in %s, so nobody could sign in", o.records)
		}
		return cast, nil
	}
	begun := time.Now()
	last := begun
	return records.Generate(records.Options{
		Seed: demoSeed, Patients: o.patients, Now: begun, Base: base,
		Progress: func(done, total int) {
			if now := time.Now(); now.Sub(last) > time.Second {
				last = now
				_, _ = fmt.Fprintf(out, "Making up patients: %d of %d\n", done, total)
			}
		},
	}, hospital.Load)
}

func demoProvider(o demoOptions, at *demoPorts, cast *records.Cast, secret string) (http.Handler, error) {
	people := make([]idp.Person, 0, len(cast.People)+len(cast.Clinicians))
	for _, p := range slices.Concat(cast.People, cast.Clinicians) {
		people = append(people, idp.Person(p))
	}
	clients := []idp.Client{demoRelyingParty("portico", secret, at.url(0))}
	if o.portico != "" {
		clients = append(clients, demoRelyingParty(demoOwnPortico, demoOwnSecret, o.portico))
	}
	return idp.New(idp.Options{Issuer: at.url(2), Name: demoName, People: people, Clients: clients})
}

// demoRelyingParty is a Portico at its public URL, as the provider knows it.
func demoRelyingParty(id, secret, public string) idp.Client {
	return idp.Client{ID: id, Secret: secret, RedirectURIs: []string{public + "/login/callback"}, PostLogoutRedirectURIs: []string{public + "/logout"}}
}

// demoConfig is what an operator would write in portico.yaml.
func demoConfig(o demoOptions, at *demoPorts, secret, sqlite string) (*config.Config, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("random numbers: %w", err)
	}
	own := config.Client{
		ID: demoOwnApp, Name: "Your own app", Owner: "You", Type: config.ClientPublic, AnyLoopbackPort: true,
		RedirectURIs: append([]string{"http://localhost/callback", "http://127.0.0.1/callback"}, o.redirects...),
	}
	return &config.Config{
		PublicURL: at.url(0),
		Store:     config.Store{SQLite: sqlite},
		SealKey:   config.NewSecret(base64.StdEncoding.EncodeToString(key)),
		Sessions:  config.Sessions{Idle: 30 * time.Minute, Absolute: 8 * time.Hour},
		Tokens:    config.Tokens{AccessLifetime: time.Hour, RefreshLifetime: 92 * 24 * time.Hour},
		IdentityProviders: []config.IdentityProvider{{
			ID: "demo", Name: demoName, Issuer: at.url(2), ClientID: "portico", ClientSecret: config.NewSecret(secret), Scopes: []string{"openid", "profile"},
		}},
		Sources: []config.Source{{
			ID: demoSource, Name: demoName, FHIRBase: at.url(1) + "/fhir", IdentityProvider: "demo",
			PatientFrom: config.PatientFrom{Claim: "fhirUser", As: config.AsReference}, Timeout: 15 * time.Second, MaxPageSize: 200,
			Write: demoWrites(),
		}},
		Clients: []config.Client{
			{ID: demoClient, Name: sampleapp.Name, Owner: sampleapp.Owner, URL: at.url(3), Type: config.ClientPublic, RedirectURIs: []string{at.url(3) + sampleapp.RedirectPath}, LaunchURIs: []string{at.url(3) + sampleapp.LaunchPath}},
			own,
		},
		// A short while: the screen beside the record system changes records there.
		Cache: &config.Cache{Memory: 32, TTL: 5 * time.Second, StaleIfError: time.Minute},
		// Whoever can reach loopback may try an app of their own.
		Registration: config.Registration{Mode: config.RegistrationApproveAll, PerHour: 1000},
		Outside: config.Outside{
			InsecurePlainHTTP: true, AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		},
	}, nil
}

func randomHex() (string, error) {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("random numbers: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

func demoGreeting(out io.Writer, o demoOptions, at *demoPorts, cast *records.Cast, resources int) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	p("")
	p("Portico's demo is ready, with %d resources in its EHR. It ends with Ctrl+C and keeps nothing.", resources)
	p("")
	p("  Open the sample app   %s", at.url(3))
	p("  Portico               %s   (FHIR base %s/fhir/%s)", at.url(0), at.url(0), demoSource)
	p("  The EHR behind it     %s/fhir", at.url(1))
	p("  The OpenID provider   %s", at.url(2))
	p("")
	p("Open the app, press Connect, sign in as one of these people, and choose what to share:")
	p("")
	shown := cast.People[:min(len(cast.People), 12)]
	login := 10
	for _, person := range shown {
		login = max(login, len(person.Login))
	}
	for i, person := range cast.People {
		if i == len(shown) {
			p("  … and %d more, listed at the provider", len(cast.People)-i)
			break
		}
		p("  %-*s %-10s %s: %s", login, person.Login, person.Password, person.Name, person.Story)
	}
	p("")
	for _, d := range cast.Clinicians {
		p("Apps open from the EHR's screen too, at %s: press a patient's button there and", at.url(1))
		p("sign in as %s (%s, %s).", d.Login, d.Password, d.Name)
		p("")
	}
	p("An app of your own may use the client id %q (public, PKCE), with redirect", demoOwnApp)
	p("http://localhost:<any port>/callback, or another one given with -redirect URL.")
	if o.portico != "" {
		p("")
		p("The Portico at %s may use this EHR (fhir_base %s/fhir, no auth) and this", o.portico, at.url(1))
		p("provider (issuer %s, client_id %s, client_secret %s).", at.url(2), demoOwnPortico, demoOwnSecret)
	}
}

// demoPorts are the demo's four neighbours: Portico, EHR, provider, app.
type demoPorts struct {
	host      string
	ports     [4]int
	listeners [4][]net.Listener
	servers   []*http.Server
}

func (d *demoPorts) url(i int) string {
	return "http://" + net.JoinHostPort(d.host, strconv.Itoa(d.ports[i]))
}

// demoListen takes the four ports at once, so that a taken one shows before
// anything else happens. localhost is both of its addresses where both exist:
// browsers choose one, other programs the other.
func demoListen(ctx context.Context, host string, port int) (*demoPorts, error) {
	addresses, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("-host %s: %w", host, err)
	}
	for _, a := range addresses {
		if !a.IP.IsLoopback() {
			return nil, fmt.Errorf("-host %s is not a loopback address (%s): the demo signs anybody in as anyone, so it must not be reachable from outside", host, a.IP)
		}
	}
	d := &demoPorts{host: host}
	for i := range d.ports {
		d.ports[i] = port + i
		var taken error
		for _, a := range addresses {
			l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(a.IP.String(), strconv.Itoa(d.ports[i])))
			if err != nil {
				taken = err
				continue
			}
			d.listeners[i] = append(d.listeners[i], l)
		}
		if len(d.listeners[i]) == 0 || taken != nil && isTaken(taken) {
			d.close()
			return nil, fmt.Errorf("port %d cannot be used: %w; choose others with -port", d.ports[i], taken)
		}
	}
	return d, nil
}

func (d *demoPorts) serve(handlers []http.Handler) <-chan error {
	failed := make(chan error, 8)
	for i, h := range handlers {
		server := &http.Server{Handler: d.onlyHere(h), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
		d.servers = append(d.servers, server)
		for _, l := range d.listeners[i] {
			go func() {
				if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
					failed <- err
				}
			}()
		}
	}
	return failed
}

// onlyHere answers under the names of this machine alone. A page of any site
// could otherwise let its own name lead to 127.0.0.1 and read the EHR, which
// asks nobody who they are (DNS rebinding).
func (d *demoPorts) onlyHere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Host
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
		here := strings.EqualFold(name, d.host) || strings.EqualFold(name, "localhost")
		if ip := net.ParseIP(strings.Trim(name, "[]")); !here && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "The demo answers under the names of this machine only.", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (d *demoPorts) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	for _, s := range d.servers {
		if err := s.Shutdown(ctx); err != nil {
			_ = s.Close() // they had their time
		}
	}
}

func (d *demoPorts) close() {
	for _, listeners := range d.listeners {
		for _, l := range listeners {
			_ = l.Close() // closed twice after serve, which is no matter
		}
	}
}
