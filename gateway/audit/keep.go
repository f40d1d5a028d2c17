package audit

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"
)

// The outcomes of an access.
const (
	Begun    = "begun"    // the EHR is asked to change something: on the disk before it is
	Released = "released" // something was given, be it an empty list
	Refused  = "refused"  // understood, and not allowed
	Absent   = "absent"   // not there, foreign or withheld: the same to the outside
	Aborted  = "aborted"  // broken off after it had begun
	Failed   = "failed"   // the EHR or Portico itself could not
	// Explained: an operator had Portico decide as for an app; nothing was given out
	Explained = "explained"
	Decided   = "decided" // a decision of a person or of the authorization server
)

// ErrDuplicate says that an event with this id was recorded before.
var ErrDuplicate = errors.New("audit: an event with this id is there already")

// ErrClosed says that the sink takes no more events.
var ErrClosed = errors.New("audit: the sink is closed")

// Stored is an event as it was kept. Seq counts without gaps from 1 in the
// order in which events became durable.
type Stored struct {
	Seq int64
	Event
}

// Filter chooses events; its zero fields choose all. All that are set must fit.
type Filter struct {
	Source    string
	Client    string
	PersonIss string
	PersonSub string
	Patient   string
	Grant     string
	RequestID string
	From      time.Time // inclusive
	Until     time.Time // exclusive
	After     int64     // only events with a higher Seq
	Limit     int       // 0: DefaultLimit
}

// DefaultLimit bounds what a Reader gives at once; MaxLimit is the most it does.
const (
	DefaultLimit = 100
	MaxLimit     = 10_000
)

// Reader gives events back, oldest first.
type Reader interface {
	Events(ctx context.Context, f Filter) ([]Stored, error)
}

const (
	maxField = 512
	maxQuery = 4096
	maxScope = 16384
)

// names is a list of parameter names with their modifiers, separated by comma
// or space. It has no character by which a value could follow a name.
var names = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.:-]*(?:[, ]+[A-Za-z_][A-Za-z0-9_.:-]*)*$`)

// interaction is a FHIR interaction, an operation or a step of a flow.
var interaction = regexp.MustCompile(`^\$?[a-z][a-zA-Z0-9-]{0,63}$`)

// Validate refuses what must not be kept. Sinks call it before they promise
// anything. Its errors name fields, never their content.
func Validate(e Event) error {
	switch {
	case e.ID == "":
		return errors.New("audit: an event needs an ID")
	case e.Time.IsZero():
		return errors.New("audit: an event needs a Time")
	case !interaction.MatchString(e.Interaction):
		return errors.New("audit: Interaction is not the name of one")
	case e.Query != "" && (len(e.Query) > maxQuery || !names.MatchString(e.Query)):
		return errors.New("audit: Query may hold parameter names alone, separated by commas")
	case len(e.Scopes) > maxScope || !utf8.ValidString(e.Scopes) || hasControl(e.Scopes):
		return errors.New("audit: Scopes is too long or not plain text")
	case e.Status < 100 || e.Status > 599:
		return errors.New("audit: Status is not an HTTP status")
	case e.Released < 0 || e.Masked < 0 || e.Withheld < 0:
		return errors.New("audit: counts cannot be negative")
	}
	switch e.Outcome {
	case Begun, Released, Refused, Absent, Aborted, Failed, Decided, Explained:
	default:
		return errors.New("audit: Outcome is none of the known ones")
	}
	for _, f := range []struct{ name, value string }{
		{"ID", e.ID}, {"RequestID", e.RequestID}, {"Source", e.Source}, {"Client", e.Client}, {"PersonIss", e.PersonIss},
		{"PersonSub", e.PersonSub}, {"Patient", e.Patient}, {"Grant", e.Grant}, {"Type", e.Type}, {"ResourceID", e.ResourceID},
	} {
		if len(f.value) > maxField || !utf8.ValidString(f.value) || hasControl(f.value) {
			return fmt.Errorf("audit: %s is too long or not plain text", f.name)
		}
	}
	return nil
}

func hasControl(s string) bool {
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			return true
		}
	}
	return false
}
