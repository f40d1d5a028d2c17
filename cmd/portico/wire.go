package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gorilla/mux"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/singleflight"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/budget"
	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/enroll"
	"github.com/portico-fhir/portico/gateway/login"
	"github.com/portico-fhir/portico/gateway/pages"
	"github.com/portico-fhir/portico/gateway/store"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/quirks"
	"github.com/portico-fhir/portico/gateway/upstream/resilience"
	"github.com/portico-fhir/portico/internal/clock"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/internal/seal"
	"github.com/portico-fhir/portico/internal/telemetry"
	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/token"
)

// app is Portico put together: what a listener serves, and how it ends.
type app struct {
	Handler http.Handler
	Admin   http.Handler // of the operator's own listener; nil: there is none
	Close   func(ctx context.Context) error

	parts *wiring // for the commands that look behind the handler
}

// wiring is what the parts are made from on the way.
type wiring struct {
	cfg       *config.Config
	log       *slog.Logger
	store     *store.Store
	ring      *seal.Ring
	sources   []authz.Source
	upstreams map[string]upstream.Reader
	versions  map[string]upstream.Historian
	writes    map[string]upstream.Writer
	ways      map[string]*resilience.Transport // to each source's EHR; State tells how it does
	backend   *backendKeys
	closers   []func()
	bases     map[string]fhir.Base
	files     map[string]upstream.Opener
	// attachments are the places outside a base where its files may lie.
	attachments map[string][]fhir.Base
	counts      counts
	watch       *watch
	signedIn    *login.RelyingParty
	telemetry   *telemetry.Telemetry
	room        *quirks.Room // that searches of all sources share
	clock       *clock.Clock
	parts       []part                // that /readyz asks
	draining    atomic.Bool           // no new connections are taken
	asked       singleflight.Group    // by all who ask for it now
	redis       redis.UniversalClient // nil: there is none
	budget      budget.Budget
	cache       *cache.Cache // nil: nothing is kept
}

func newWiring(cfg *config.Config, log *slog.Logger) *wiring {
	return &wiring{cfg: cfg, log: log, clock: clock.New(), watch: newWatch(log), upstreams: map[string]upstream.Reader{}, versions: map[string]upstream.Historian{}, writes: map[string]upstream.Writer{}, ways: map[string]*resilience.Transport{}, backend: &backendKeys{sources: map[string]backendSet{}}, bases: map[string]fhir.Base{}, files: map[string]upstream.Opener{}, attachments: map[string][]fhir.Base{}, room: quirks.NewRoom(quirks.DefaultRoom)}
}

// build puts Portico together from its configuration. It is the only place
// that knows every package. Nothing outside is asked yet: an EHR or a provider
// that is down does not keep Portico from starting.
func build(ctx context.Context, cfg *config.Config, log *slog.Logger) (*app, error) {
	w := newWiring(cfg, log)
	var err error
	if w.telemetry, err = newTelemetry(cfg, log); err != nil {
		return nil, err
	}
	if err := w.open(ctx); err != nil {
		return nil, err
	}
	a, err := w.assemble(ctx)
	if err != nil {
		return nil, errors.Join(err, w.store.Close())
	}
	stop := w.background()
	a.parts = w
	a.Close = func(ctx context.Context) error {
		stop()
		w.closeAll()
		return errors.Join(w.store.Close(), w.telemetry.Close(ctx))
	}
	return a, nil
}

func (w *wiring) open(ctx context.Context) error {
	key, err := w.cfg.SealKeyBytes()
	if err != nil {
		return fmt.Errorf("seal_key: %w", err)
	}
	older, err := w.cfg.OlderSealKeys()
	if err != nil {
		return fmt.Errorf("seal_keys_before: %w", err)
	}
	if w.ring, err = seal.NewRing(key, older...); err != nil {
		return err
	}
	if err := w.openRedis(); err != nil {
		return err
	}
	if err := w.openBudget(); err != nil {
		return err
	}
	if err := w.openCache(); err != nil {
		return err
	}
	for _, s := range w.cfg.Sources {
		base, err := fhir.ParseBase(s.FHIRBase)
		if err != nil {
			return fmt.Errorf("source %s: %w", s.ID, err)
		}
		quirk, err := w.profile(s)
		if err != nil {
			return fmt.Errorf("source %s: %w", s.ID, err)
		}
		connector, err := w.connect(s, base, quirk)
		if err != nil {
			return fmt.Errorf("source %s: %w", s.ID, err)
		}
		w.bases[s.ID], w.versions[s.ID], w.writes[s.ID] = base, connector, connector
		if w.upstreams[s.ID], err = w.unquirked(connector, base, quirk); err != nil {
			return fmt.Errorf("source %s: %w", s.ID, err)
		}
		source, err := w.source(s)
		if err != nil {
			return fmt.Errorf("source %s: %w", s.ID, err)
		}
		w.sources = append(w.sources, source)
	}
	if w.store, err = store.Open(ctx, storeOptions(w.cfg.Store)); err != nil {
		return err
	}
	if err := w.follow(ctx); err != nil {
		return errors.Join(err, w.store.Close())
	}
	return nil
}

// storeOptions says where state is kept.
func storeOptions(c config.Store) store.Options {
	if p := c.Postgres; p != nil {
		return store.Options{Postgres: store.Postgres{URL: p.URL.Reveal(), MaxConnections: p.MaxConnections}}
	}
	return store.Options{Path: c.SQLite}
}

func (w *wiring) assemble(ctx context.Context) (*app, error) {
	if err := w.backend.open(ctx, w.store, w.clock.Now); err != nil {
		return nil, err
	}
	drawn, err := pages.New(pages.Options{Sources: w.sources, Now: w.clock.Now})
	if err != nil {
		return nil, err
	}
	rules := w.rules()
	links, err := enroll.New(enroll.Options{Sources: rules, Lookup: lookup{w.upstreams}, Store: w.store, Now: w.clock.Now})
	if err != nil {
		return nil, err
	}
	signIn, err := w.signIn(links, rules, drawn)
	if err != nil {
		return nil, err
	}
	apps, err := w.register()
	if err != nil {
		return nil, err
	}
	server, err := w.authorizationServer(ctx, apps, links, signIn, drawn)
	if err != nil {
		return nil, err
	}
	data, err := w.gateway(server, apps)
	if err != nil {
		return nil, err
	}
	w.counts.data, w.signedIn = data, signIn
	r := mux.NewRouter().SkipClean(true).UseEncodedPath()
	data.Mount(r)
	server.Mount(r)
	apps.server.Mount(r)
	signIn.Mount(r)
	drawn.Mount(r)
	heard, err := w.notifications()
	if err != nil {
		return nil, err
	}
	if heard != nil {
		heard.Mount(r)
	}
	w.backend.mount(r, w.log)
	r.HandleFunc("/livez", livez).Methods(http.MethodGet, http.MethodHead)
	w.parts = append(w.parts, part{name: "store", ping: w.pingStore, needed: true})
	w.watch.parts = func(ctx context.Context) { w.ready(ctx) }
	r.HandleFunc("/readyz", w.readyz).Methods(http.MethodGet, http.MethodHead)
	r.NotFoundHandler = http.HandlerFunc(drawn.NotFound)
	if err := w.telemetry.Watch(w.states); err != nil {
		return nil, err
	}
	admin, err := w.admin(apps, data)
	if err != nil {
		return nil, err
	}
	root, err := handler.Wrap(handler.Options{
		Next: w.shed(r), Log: w.log, Route: reqctx.Router{IsType: search.IsResourceType}.Route,
		HSTS: strings.HasPrefix(w.cfg.PublicURL, "https://"), Addr: clientAddr(w.cfg.TrustedProxies),
		MaxURL: gateway.MaxLink, LongURL: gateway.LongURL, Observe: w.telemetry.Observe(fromProxy(w.cfg.TrustedProxies)),
	})
	if err != nil {
		return nil, err
	}
	return &app{Handler: root, Admin: admin}, nil
}

// rules say how the people of each source are known.
func (w *wiring) rules() map[string]enroll.SourceRule {
	rules := map[string]enroll.SourceRule{}
	for _, s := range w.cfg.Sources {
		rule := enroll.SourceRule{Claim: s.PatientFrom.Claim, System: s.PatientFrom.System, Base: s.FHIRBase}
		switch s.PatientFrom.As {
		case config.AsReference:
			rule.Rule = enroll.FHIRUser
		case config.AsID:
			rule.Rule = enroll.PatientID
		case config.AsIdentifier:
			rule.Rule = enroll.Identifier
		}
		rules[s.ID] = rule
	}
	return rules
}

func (w *wiring) signIn(links *enroll.Resolver, rules map[string]enroll.SourceRule, drawn *pages.Pages) (*login.RelyingParty, error) {
	var providers []login.Provider
	for _, p := range w.cfg.IdentityProviders {
		provider := login.Provider{
			ID: p.ID, Name: p.Name, Issuer: p.Issuer, ClientID: p.ClientID, Scopes: p.Scopes,
		}
		if !p.ClientSecret.IsZero() {
			provider.ClientSecret = p.ClientSecret.Reveal()
		}
		for _, s := range w.cfg.Sources {
			if slices.Contains(s.Providers(), p.ID) {
				provider.Sources = append(provider.Sources, s.ID)
				provider.Claims = append(provider.Claims, rules[s.ID].Claims()...)
			}
		}
		providers = append(providers, provider)
	}
	return login.New(login.Options{
		PublicURL: w.cfg.PublicURL, Providers: providers, Sessions: w.store, Enroller: links, Seal: w.ring,
		Problem: signInProblem(drawn), SignOut: signOutPage(drawn), Choose: w.chooseProvider(drawn), Now: w.clock.Now, Rand: rand.Reader,
		Idle: w.cfg.Sessions.Idle, Absolute: w.cfg.Sessions.Absolute, Secure: strings.HasPrefix(w.cfg.PublicURL, "https://"),
	})
}

func (w *wiring) authorizationServer(ctx context.Context, apps *registered, links *enroll.Resolver, signIn *login.RelyingParty, drawn *pages.Pages) (*authz.Server, error) {
	signer, err := token.NewSigner(ctx, token.SignerOptions{Keys: w.store, Now: w.clock.Now, Rand: rand.Reader})
	if err != nil {
		return nil, err
	}
	return authz.New(authz.Options{
		Issuer: w.cfg.PublicURL, Sources: w.sources, Clients: apps.clients, Tokens: token.OfUsableClients(w.store, apps.clients), Signer: signer, Pending: w.store, Refresh: w.store, Singles: w.store, Sessions: w.store,
		Connections: w.store, ConnectedPage: drawn,
		Keys: apps.keys, Used: w.store, RegistrationEndpoint: apps.server.Endpoint(), Apps: apps.clients, Refusals: w.store, Addr: clientAddr(w.cfg.TrustedProxies),
		SignIn: signIn, Patients: patients{links}, Pages: drawn, Recorder: decisions{countedSink{w.store, w.telemetry}, w.clock.Now}, Launches: w.store, Pushed: w.store, Answered: w.store,
		KnownType: search.IsResourceType, AccessTTL: w.cfg.Tokens.AccessLifetime, GrantTTL: w.cfg.Tokens.GrantLifetime,
		Kinds: kinds(), Counts: &w.counts, Decisions: w.store,
		RefreshTTL: w.cfg.Tokens.RefreshLifetime, SessionTTL: w.cfg.Sessions.Absolute, Now: w.clock.Now,
	})
}

func registry(configured []config.Client) (*client.Static, error) {
	var clients []client.Client
	for _, c := range configured {
		one := client.Client{
			ID: c.ID, Name: c.Name, Owner: c.Owner, URL: c.URL, Auth: client.Public, RedirectURIs: c.RedirectURIs,
			AnyLoopbackPort: c.AnyLoopbackPort, Scopes: strings.Join(c.Scopes, " "), Sources: c.Sources,
			Logo: c.Logo, Contacts: c.Contacts, Terms: c.Terms, Policy: c.Policy, LaunchURIs: c.LaunchURIs,
			AccessTTL: c.AccessLifetime, GrantTTL: c.GrantLifetime,
		}
		if err := credentialsOf(c, &one); err != nil {
			return nil, err
		}
		clients = append(clients, one)
	}
	return client.NewStatic(client.Options{Clients: clients, CheckScopes: checkScopes})
}

func (w *wiring) gateway(server *authz.Server, apps *registered) (*gateway.Gateway, error) {
	sealer, err := w.ring.For("page")
	if err != nil {
		return nil, err
	}
	files, err := w.ring.For("file")
	if err != nil {
		return nil, err
	}
	tickets, err := w.ring.For("explain")
	if err != nil {
		return nil, err
	}
	var sources []gateway.Source
	for _, s := range w.cfg.Sources {
		withheld, err := labels(s.Sensitivity)
		if err != nil {
			return nil, err
		}
		sources = append(sources, gateway.Source{
			ID: s.ID, Name: s.Name, Base: w.bases[s.ID], Upstream: w.upstreams[s.ID], Versions: w.versions[s.ID], Files: w.files[s.ID], Attachments: w.attachments[s.ID], PageSize: s.MaxPageSize,
			Writes: w.writes[s.ID], Write: policy(s.Write), Labels: withheld,
		})
	}
	tokens := token.OfUsableClients(w.store, apps.clients)
	return gateway.New(gateway.Options{
		PublicURL: w.cfg.PublicURL, Sources: sources, Tokens: token.Verifier{Store: tokens, Now: w.clock.Now},
		Sessions: token.Presence{Store: tokens, Online: w.store.Online, Now: w.clock.Now},
		Audit:    countedSink{w.store, w.telemetry}, Pages: sealer, Files: files, Tickets: tickets, SMART: server.SMARTConfiguration, Cache: w.cache,
		AuthorizeURL: w.cfg.PublicURL + "/oauth/authorize", TokenURL: w.cfg.PublicURL + "/oauth/token", Version: version,
		Limits: w.limits(), Now: w.clock.Now,
	})
}
