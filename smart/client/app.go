package client

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// State says whether an app may be used.
type State string

// The states. Only an approved app may do anything.
const (
	Pending   State = "pending"
	Approved  State = "approved"
	Suspended State = "suspended"
)

// Origin says how an app came to be registered.
type Origin string

// The origins of stored apps. Those of the configuration file are not stored.
const (
	ByOperator Origin = "operator"
	ByItself   Origin = "registration" // RFC 7591
)

// App is a client as it is stored, with what was decided about it.
type App struct {
	Client
	State    State
	Origin   Origin
	Revision int64 // of the row; counts up with each change

	Created time.Time
	// The last decision about State: when, by whom and why.
	Decided   time.Time
	DecidedBy string
	Why       string

	// Registration is the SHA-256 of the token with which the app manages its
	// own registration (RFC 7592 §3); nil when it cannot.
	Registration []byte
	// Software is who vouched for the app in a software statement (RFC 7591
	// §2.3), with what they call it; "" when nobody did.
	Software        string
	SoftwareID      string
	SoftwareVersion string
}

// The errors of a Store. ErrPending and ErrSuspended are ErrUnknown too: who
// does not care why a client may not be used need not know.
var (
	ErrTaken     = errors.New("client: the id is taken")
	ErrChanged   = errors.New("client: the app was changed meanwhile")
	ErrPending   = fmt.Errorf("%w: it waits for approval", ErrUnknown)
	ErrSuspended = fmt.Errorf("%w: it is suspended", ErrUnknown)
)

// Store keeps apps. clienttest.RunStore holds every implementation to what is
// said here.
type Store interface {
	// App gives one in whatever state, or ErrUnknown.
	App(ctx context.Context, id string) (App, error)
	// Apps gives up to limit apps of a state, "" for all, the oldest first.
	Apps(ctx context.Context, state State, limit int) ([]App, error)
	// CreateApp keeps a new one; its Revision is 1, whatever a says. ErrTaken
	// when the id is taken.
	CreateApp(ctx context.Context, a App) error
	// UpdateApp replaces one that is still at a.Revision and counts it up, in
	// one statement; otherwise ErrChanged, and ErrUnknown when there is none.
	UpdateApp(ctx context.Context, a App) error
	// DeleteApp removes one at now and ends every grant to it in the same
	// transaction, so that a later app of the same id inherits nothing;
	// ErrUnknown when there is none.
	DeleteApp(ctx context.Context, id string, now time.Time) error
}

// Usable gives the client of an approved app, otherwise why it is refused.
func (a App) Usable() (Client, error) {
	switch a.State {
	case Approved:
		return a.Client, nil
	case Suspended:
		return Client{}, ErrSuspended
	default:
		return Client{}, ErrPending
	}
}

// Apps joins the clients of the configuration file with stored ones. The file
// wins: nobody can take over its ids.
type Apps struct {
	static *Static
	store  Store
}

var _ Registry = (*Apps)(nil)

// NewApps makes the registry.
func NewApps(static *Static, store Store) (*Apps, error) {
	if static == nil || store == nil {
		return nil, errors.New("client: both the configured clients and a store are needed")
	}
	return &Apps{static: static, store: store}, nil
}

// Client implements Registry. A pending or suspended app is refused from the
// moment it is stored as such: nothing is cached.
func (r *Apps) Client(ctx context.Context, id string) (Client, error) {
	a, err := r.App(ctx, id)
	if err != nil {
		return Client{}, err
	}
	return a.Usable()
}

// App gives a client in whatever state, or ErrUnknown. One of the configuration
// file is approved by standing there.
func (r *Apps) App(ctx context.Context, id string) (App, error) {
	c, err := r.static.Client(ctx, id)
	if err == nil {
		return App{Client: c, State: Approved, DecidedBy: "configuration"}, nil
	}
	if !errors.Is(err, ErrUnknown) {
		return App{}, err
	}
	if id == "" || len(id) > maxID || !printable(id) {
		return App{}, ErrUnknown
	}
	a, err := r.store.App(ctx, id)
	if err != nil {
		return App{}, fmt.Errorf("client %q: %w", id, err)
	}
	return a, nil
}

// Configured tells whether an id is taken by the configuration file.
func (r *Apps) Configured(ctx context.Context, id string) bool {
	_, err := r.static.Client(ctx, id)
	return err == nil
}
