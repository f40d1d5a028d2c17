package apps

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/portico-fhir/portico/smart/client"
)

// Decision is what an operator decided about an app, for the audit.
type Decision struct {
	What string // "app-added", "app-approved", "app-suspended", "app-deleted", "app-secret-replaced"
	App  string
	By   string
	Why  string
}

// Recorder writes decisions down. What cannot be recorded does not happen.
type Recorder interface {
	Record(ctx context.Context, d Decision) error
}

// Desk is where an operator decides about apps.
type Desk struct {
	s        *Server
	static   *client.Static
	recorder Recorder
}

// NewDesk makes the desk over the same store that registration uses.
func NewDesk(s *Server, configured *client.Static, r Recorder) (*Desk, error) {
	if s == nil || configured == nil || r == nil {
		return nil, errors.New("apps: a desk needs the server, the configured clients and a recorder")
	}
	return &Desk{s: s, static: configured, recorder: r}, nil
}

// maxListed bounds a list of apps.
const maxListed = 10000

func (d *Desk) list(ctx context.Context, state client.State) ([]client.App, error) {
	var out []client.App
	if state == "" || state == client.Approved {
		for _, c := range d.static.All() {
			out = append(out, configured(c))
		}
	}
	stored, err := d.s.o.Store.Apps(ctx, state, maxListed)
	if err != nil {
		return nil, down(err)
	}
	for _, a := range stored {
		if !d.s.o.Configured(a.ID) { // the file wins
			out = append(out, a)
		}
	}
	return out, nil
}

func configured(c client.Client) client.App {
	return client.App{Client: c, State: client.Approved, DecidedBy: "configuration"}
}

func (d *Desk) find(ctx context.Context, id string) (client.App, error) {
	if c, err := d.static.Client(ctx, id); err == nil {
		return configured(c), nil
	}
	a, err := d.s.o.Store.App(ctx, id)
	switch {
	case errors.Is(err, client.ErrUnknown):
		return client.App{}, &Error{Code: "not_found", Description: "There is no such app.", Status: http.StatusNotFound}
	case err != nil:
		return client.App{}, down(err)
	}
	return a, nil
}

// stored finds an app that can be changed here.
func (d *Desk) stored(ctx context.Context, id string) (client.App, error) {
	if d.s.o.Configured(id) {
		return client.App{}, &Error{Code: "configured", Description: "This app stands in the configuration file: change it there.", Status: http.StatusConflict}
	}
	return d.find(ctx, id)
}

// terms are what an operator may fix for an app beyond what it says of itself.
type terms struct {
	By             string    `json:"by"`
	Why            string    `json:"why"`
	Scope          *string   `json:"scope"`
	Sources        *[]string `json:"sources"`
	AccessLifetime *string   `json:"access_lifetime"` // as Go writes durations
	GrantLifetime  *string   `json:"grant_lifetime"`
	// Revision is the one that was looked at: what was decided about it is not
	// decided about what the app has made of itself since.
	Revision *int64 `json:"revision"`
}

// check bounds what is kept and shown.
func (t terms) check() error {
	if !readable(t.By) || !readable(t.Why) || len(t.By) > 100 || len(t.Why) > 1000 {
		return refuse(invalidRequest, "by and why must be plain text of up to 100 and 1000 bytes.")
	}
	return nil
}

// The bounds of an app's own lifetimes, as those of the server.
const (
	minAccess, maxAccess = 5 * time.Minute, time.Hour
	minGrant, maxGrant   = time.Hour, 400 * 24 * time.Hour
)

func (d *Desk) fix(a *client.App, t terms) error {
	if t.Scope != nil {
		a.Scopes = strings.Join(strings.Fields(*t.Scope), " ")
		if err := d.s.o.CheckScopes(a.Scopes); a.Scopes != "" && err != nil {
			return refuse(invalidMetadata, "scope: %s.", plain(err))
		}
	}
	if t.Sources != nil {
		for _, id := range *t.Sources {
			if !d.s.o.Source(id) {
				return refuse(invalidMetadata, "There is no source of one of these ids.")
			}
		}
		a.Sources = slices.Clone(*t.Sources)
	}
	for _, l := range []struct {
		name      string
		text      *string
		into      *time.Duration
		low, high time.Duration
	}{
		{"access_lifetime", t.AccessLifetime, &a.AccessTTL, minAccess, maxAccess},
		{"grant_lifetime", t.GrantLifetime, &a.GrantTTL, minGrant, maxGrant},
	} {
		if l.text == nil {
			continue
		}
		v, err := time.ParseDuration(*l.text)
		if err != nil || v < l.low || v > l.high {
			return refuse(invalidMetadata, "%s must be between %s and %s.", l.name, l.low, l.high)
		}
		*l.into = v
	}
	return nil
}

// decide changes an app's state with who and why.
func (d *Desk) decide(ctx context.Context, id string, state client.State, what string, t terms) (client.App, error) {
	a, err := d.stored(ctx, id)
	if err != nil {
		return client.App{}, err
	}
	if t.Revision != nil && *t.Revision != a.Revision {
		return client.App{}, errChanged()
	}
	if state == client.Suspended && t.Why == "" {
		return client.App{}, refuse(invalidRequest, "Say why: the developer and your successor will ask.")
	}
	if err := d.fix(&a, t); err != nil {
		return client.App{}, err
	}
	a.State, a.Decided, a.DecidedBy, a.Why = state, d.s.o.Now(), by(t), t.Why
	return a, d.save(ctx, &a, Decision{What: what, App: id, By: a.DecidedBy, Why: t.Why})
}

func by(t terms) string {
	if t.By == "" {
		return "operator"
	}
	return t.By
}

func errChanged() error {
	return &Error{Code: "changed", Description: "The app was changed meanwhile. Look at it again.", Status: http.StatusConflict}
}

// save records, then stores.
func (d *Desk) save(ctx context.Context, a *client.App, what Decision) error {
	if err := d.record(ctx, what); err != nil {
		return err
	}
	err := d.s.o.Store.UpdateApp(ctx, *a)
	switch {
	case errors.Is(err, client.ErrChanged):
		return errChanged()
	case errors.Is(err, client.ErrUnknown):
		return &Error{Code: "not_found", Description: "There is no such app.", Status: http.StatusNotFound}
	case err != nil:
		return down(err)
	}
	a.Revision++
	return nil
}

func (d *Desk) record(ctx context.Context, what Decision) error {
	if err := d.recorder.Record(ctx, what); err != nil {
		return down(err)
	}
	return nil
}

// newSecret replaces an app's secret; the old one stops at once.
func (d *Desk) newSecret(ctx context.Context, id string, t terms) (string, error) {
	a, err := d.stored(ctx, id)
	if err != nil {
		return "", err
	}
	if a.Auth != client.SecretBasic {
		return "", refuse(invalidRequest, "This app does not authenticate with a secret.")
	}
	a.SecretHash = ""
	secret, err := d.s.secretFor(&a)
	if err != nil {
		return "", err
	}
	return secret, d.save(ctx, &a, Decision{What: "app-secret-replaced", App: id, By: by(t), Why: t.Why})
}

func (d *Desk) remove(ctx context.Context, id string, t terms) error {
	if _, err := d.stored(ctx, id); err != nil {
		return err
	}
	if err := d.record(ctx, Decision{What: "app-deleted", App: id, By: by(t), Why: t.Why}); err != nil {
		return err
	}
	if err := d.s.o.Store.DeleteApp(ctx, id, d.s.o.Now()); err != nil && !errors.Is(err, client.ErrUnknown) {
		return down(err)
	}
	return nil
}

// newApp is the body of an app added by an operator.
type newApp struct {
	ID string `json:"client_id"` // chosen, or made when ""
	Metadata
	By             string    `json:"by"`
	Why            string    `json:"why"`
	Sources        *[]string `json:"sources"`
	AccessLifetime *string   `json:"access_lifetime"`
	GrantLifetime  *string   `json:"grant_lifetime"`
}

func (n newApp) terms() terms {
	return terms{By: n.By, Why: n.Why, Sources: n.Sources, AccessLifetime: n.AccessLifetime, GrantLifetime: n.GrantLifetime}
}

var goodID = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,128}$`)

// add registers an approved app.
func (d *Desk) add(ctx context.Context, n newApp) (client.App, string, error) {
	now, t := d.s.o.Now(), n.terms()
	a := client.App{Origin: client.ByOperator, State: client.Approved, Created: now, Decided: now, DecidedBy: by(t), Why: n.Why}
	if err := t.check(); err != nil {
		return a, "", err
	}
	a.ID = n.ID
	if a.ID == "" {
		id, err := d.s.random()
		if err != nil {
			return a, "", err
		}
		a.ID = id
	}
	if !goodID.MatchString(a.ID) {
		return a, "", refuse(invalidMetadata, "client_id must be 1 to 128 of letters, digits and . _ ~ -")
	}
	if d.s.o.Configured(a.ID) {
		return a, "", &Error{Code: "taken", Description: "The configuration file has an app of this id.", Status: http.StatusConflict}
	}
	if n.Statement != "" {
		return a, "", refuse(invalidMetadata, "software_statement is for apps that register themselves.")
	}
	if err := d.s.fill(&a, n.Metadata); err != nil {
		return a, "", err
	}
	if err := d.fix(&a, t); err != nil {
		return a, "", err
	}
	secret, err := d.s.secretFor(&a)
	if err != nil {
		return a, "", err
	}
	if err := d.record(ctx, Decision{What: "app-added", App: a.ID, By: a.DecidedBy, Why: a.Why}); err != nil {
		return a, "", err
	}
	switch err := d.s.o.Store.CreateApp(ctx, a); {
	case errors.Is(err, client.ErrTaken):
		return a, "", &Error{Code: "taken", Description: "There is an app of this id.", Status: http.StatusConflict}
	case err != nil:
		return a, "", down(err)
	}
	a.Revision = 1
	return a, secret, nil
}
