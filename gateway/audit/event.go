// Package audit owns what is written down about accesses: the event and the
// promise that it is durable before the first byte of patient data leaves. It
// must not know HTTP or how a request was decided; it holds no clinical content.
package audit

import (
	"context"
	"time"
)

// Event is one access, or one refusal, as it is kept.
type Event struct {
	ID          string    // random, unique
	Time        time.Time // when it was decided
	RequestID   string
	Source      string // source id
	Client      string // client_id of the app, "" before authentication
	PersonIss   string // who signed in: issuer and subject at the provider
	PersonSub   string
	Patient     string // whose record, the upstream's Patient id
	Grant       string
	Interaction string // read, search, ...
	Type        string // resource type asked
	ResourceID  string // for a read
	Query       string // parameter names asked, never values
	Scopes      string // what a person agreed to, for a decision
	Outcome     string // see keep.go; a change has two events, "begun" before the EHR is asked
	Status      int    // HTTP status that was or will be sent
	Released    int    // resources released; for a stream known only at its end
	Masked      int
	Withheld    int
}

// Sink keeps events. Record returns only after the event is durable; an error
// means that nothing may be released.
type Sink interface {
	Record(ctx context.Context, e Event) error
}
