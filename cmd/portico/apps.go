package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/upstream/connect"
	outbound "github.com/portico-fhir/portico/internal/fetch"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/apps"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/scope"
)

// registered is everything about apps that other parts need.
type registered struct {
	clients *client.Apps
	keys    *client.Keys
	server  *apps.Server
	desk    *apps.Desk
	urls    *outbound.Fetcher
}

func checkScopes(s string) error {
	_, err := scope.Parse(s)
	return err
}

// checks are what the configuration cannot judge itself.
func checks() config.Checks {
	return config.Checks{Scope: checkScopes, Type: search.IsResourceType, Header: connect.BadHeader, Writable: writable, Profiles: knownProfiles, SensitivitySets: labelSets()}
}

// register puts together where apps come from.
func (w *wiring) register() (*registered, error) {
	static, err := registry(w.cfg.Clients)
	if err != nil {
		return nil, err
	}
	out := &registered{}
	if out.clients, err = client.NewApps(static, w.store); err != nil {
		return nil, err
	}
	out.urls, err = outbound.New(outbound.Options{Allow: w.cfg.Outside.AllowAddresses, InsecureAllowHTTP: w.cfg.Outside.InsecurePlainHTTP})
	if err != nil {
		return nil, err
	}
	out.keys = client.NewKeys(out.urls, w.clock.Now)
	var believed []apps.Statement
	for _, s := range w.cfg.Registration.Statements {
		believed = append(believed, apps.Statement{Issuer: s.Issuer, JWKSURI: s.JWKSURI})
	}
	out.server, err = apps.New(apps.Options{
		Issuer: w.cfg.PublicURL, Mode: apps.Mode(w.cfg.Registration.Mode), Store: w.store,
		Configured:  func(id string) bool { return out.clients.Configured(context.Background(), id) },
		CheckScopes: checkScopes, URLs: out.urls, Keys: out.keys, Statements: believed,
		MustState: w.cfg.Registration.RequireStatement, PerHour: w.cfg.Registration.PerHour,
		Addr: clientAddr(w.cfg.TrustedProxies), Now: w.clock.Now,
		Source: func(id string) bool {
			return slices.ContainsFunc(w.cfg.Sources, func(s config.Source) bool { return s.ID == id })
		},
	})
	if err != nil {
		return nil, err
	}
	out.desk, err = apps.NewDesk(out.server, static, appDecisions{w.store, w.clock.Now})
	return out, err
}

// admin gives the operator's API, nil when there is none.
func (w *wiring) admin(r *registered, data *gateway.Gateway) (http.Handler, error) {
	if w.cfg.Admin == nil {
		return nil, nil
	}
	api, err := w.operatorAPI(r, data)
	if err != nil {
		return nil, err
	}
	return handler.Wrap(handler.Options{Next: api, Log: w.log.With("listener", "admin"), Route: adminRoute})
}

// adminRoute names the paths of the operator's API for the log, without ids.
func adminRoute(path string) string {
	switch parts := strings.Split(strings.Trim(path, "/"), "/"); {
	case len(parts) == 1 && slices.Contains([]string{"metrics", "explain", "sources", "readyz"}, parts[0]):
		return "/" + parts[0]
	case slices.Equal(parts, []string{"cache", "purge"}):
		return "/cache/purge"
	case path == "/explain/ticket":
		return path
	case len(parts) == 2 && parts[0] == "explain":
		return "/explain/{request}"
	case parts[0] != "apps":
		return "/{other}"
	case len(parts) == 1:
		return "/apps"
	case len(parts) == 3 && slices.Contains([]string{"approve", "suspend", "secret"}, parts[2]):
		return "/apps/{client}/" + parts[2]
	default:
		return "/apps/{client}"
	}
}

// appDecisions writes what operators decide about apps into the audit.
type appDecisions struct {
	sink audit.Sink
	now  func() time.Time
}

var _ apps.Recorder = appDecisions{}

// Record implements apps.Recorder.
func (d appDecisions) Record(ctx context.Context, e apps.Decision) error {
	id, err := randomHex()
	if err != nil {
		return fmt.Errorf("portico: event id: %w", err)
	}
	return d.sink.Record(ctx, audit.Event{
		ID: id, Time: d.now(), RequestID: reqctx.ID(ctx), Client: e.App, PersonIss: "operator", PersonSub: e.By,
		Interaction: e.What, Outcome: audit.Decided, Status: http.StatusOK,
	})
}
