package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/changes"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/redisdb"
)

// openRedis connects to Redis, if there is one.
func (w *wiring) openRedis() error {
	c := w.cfg.Redis
	if c == nil {
		return nil
	}
	o := redisdb.Options{Addresses: c.Addresses, Master: c.Master, Cluster: c.Cluster, Username: c.Username, DB: c.DB}
	if !c.Password.IsZero() {
		o.Password = c.Password.Reveal()
	}
	if c.TLS {
		secure, err := redisdb.TLS(c.CAFile)
		if err != nil {
			return fmt.Errorf("redis: %w", err)
		}
		o.TLS = secure
	}
	redisdb.Quiet()
	client, err := redisdb.New(o)
	if err != nil {
		return err
	}
	w.redis = client
	w.parts = append(w.parts, part{name: "redis", ping: func(ctx context.Context) error { return redisdb.Ping(ctx, client) }})
	w.closers = append(w.closers, func() { _ = client.Close() })
	return nil
}

// openCache makes the cache, if there is to be one.
func (w *wiring) openCache() error {
	c := w.cfg.Cache
	if c == nil {
		return nil
	}
	kept, err := cache.New(cache.Options{
		Ring: w.ring, Redis: w.redis, TTL: w.cfg.FreshFor, StaleWhileRevalidate: c.StaleWhileRevalidate, StaleIfError: c.StaleIfError,
		Memory: int64(c.Memory) << 20, Refresh: cache.Refresh{Active: c.Refresh.Active, PerMinute: c.Refresh.PerMinute, Spare: w.spare},
		Now: w.clock.Now, Log: w.log, Origin: originsOf(w.cfg.Sources),
		Count: func(source, tier, result string) { w.telemetry.Cached(context.Background(), source, tier, result) },
	})
	if err != nil {
		return err
	}
	w.cache = kept
	// Before the client that it uses.
	w.closers = append([]func(){kept.Close}, w.closers...)
	return nil
}

// originsOf tells by source whom is asked there, and as whom: where one address
// serves several, that decides which records they are.
func originsOf(sources []config.Source) func(source string) string {
	origins := map[string]string{}
	for _, s := range sources {
		h := sha256.New()
		add := func(parts ...string) {
			for _, p := range parts {
				_, _ = fmt.Fprintf(h, "%d:%s", len(p), p) // a hash takes everything
			}
		}
		add(s.FHIRBase, s.Profile, s.Auth.Type, s.Auth.Username, s.Auth.ClientID, s.Auth.Token.Reveal(), s.Auth.TokenURL, s.TLS.CertFile)
		for _, one := range s.Headers {
			add(one.Name, one.Value.Reveal())
		}
		origins[s.ID] = string(h.Sum(nil))
	}
	return func(source string) string { return origins[source] }
}

// spare says whether a source can be asked for a party without keeping anybody
// waiting.
func (w *wiring) spare(source, party string) bool {
	way := w.ways[source]
	return way == nil || way.Spare(party)
}

// notifications is what EHRs call to say that a record has changed; nil when
// none may.
func (w *wiring) notifications() (*changes.Server, error) {
	if w.cache == nil {
		return nil, nil //nolint:nilnil // there is nothing to forget
	}
	var sources []changes.Source
	for _, s := range w.cfg.Sources {
		if !s.Notify.Token.IsZero() {
			sources = append(sources, changes.Source{ID: s.ID, Base: w.bases[s.ID], Token: s.Notify.Token.Reveal()})
		}
	}
	if len(sources) == 0 {
		return nil, nil //nolint:nilnil // as above
	}
	return changes.New(changes.Options{Sources: sources, Forget: w.cache, Now: w.clock.Now, Addr: clientAddr(w.cfg.TrustedProxies)})
}

// maxPurge bounds the body of a purge.
const maxPurge = 4 << 10

// purge is what the operator's API takes and says of a purge.
type purge struct {
	Source  string `json:"source"`
	Patient string `json:"patient,omitempty"` // "": everybody
}

// servePurge is POST /cache/purge of the operator's API.
func (w *wiring) servePurge(out http.ResponseWriter, r *http.Request) error {
	if w.cache == nil {
		return fault.New(fault.NotFound, "Nothing is kept here: the configuration has no cache section.")
	}
	var p purge
	d := json.NewDecoder(io.LimitReader(r.Body, maxPurge))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return fault.New(fault.Invalid, `The body must be JSON such as {"source": "north", "patient": "123"}; patient may be left out.`)
	}
	switch {
	case !slices.ContainsFunc(w.cfg.Sources, func(s config.Source) bool { return s.ID == p.Source }):
		return fault.New(fault.NotFound, "There is no such source.")
	case p.Patient != "" && !fhir.ValidID(p.Patient):
		return fault.New(fault.Invalid, "patient must be the id of a Patient.")
	}
	if err := w.cache.Invalidate(r.Context(), p.Source, p.Patient); err != nil {
		return fault.Wrap(err, fault.Unavailable, "This server has forgotten it, but Redis does not answer, so others may not have; it keeps trying.")
	}
	writeAdmin(out, r, http.StatusOK, p)
	return nil
}

func (w *wiring) purgeHandler() http.Handler { return handler.Adapt(w.servePurge, writeAdminError) }

const cacheUsage = `Usage: portico cache purge [-source <id>] [-patient <id>] [-config <file>]

Forgets what is kept of a patient at a source, or of everybody there, on every
replica at once. -source may be left out when there is one. It talks to the running
server: admin.listen and admin.credential are taken from the configuration.
`

// runCache is `portico cache`.
func runCache(ctx context.Context, args []string, std streams) error {
	what, err := choose(args, cacheUsage, std, "purge")
	if err != nil {
		return err
	}
	var p purge
	f := newOpFlags("cache "+what, std.err)
	f.takesSource()
	f.StringVar(&p.Patient, "patient", "", "the `id` of the Patient there; everybody when left out")
	o, _, err := f.connect(args[1:], std, 0, "nothing but options is taken")
	if err != nil {
		return err
	}
	p.Source = f.source
	if err := o.call(ctx, http.MethodPost, "/cache/purge", p, nil); err != nil {
		return err
	}
	whom := "everybody"
	if p.Patient != "" {
		whom = "the patient"
	}
	say(std.out, "What was kept of %s at %s is forgotten.\n", whom, p.Source)
	return nil
}
