package explain

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/smart/scope"
)

// maxListed bounds each list of a trace; what is beyond is counted.
const maxListed = 1000

// Trace collects the Explanation of one exchange. All methods may be called on
// nil, where they do nothing: nobody asked. Nothing that is not in a closed list
// may get into it: known and knownParameter see to it.
type Trace struct {
	now     func() time.Time
	began   time.Time
	discard bool // nothing of the answer leaves

	mu sync.Mutex
	e  Explanation
}

// Step notes how far the request has come.
func (t *Trace) Step(name string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.e.Ended = name
}

// Outcome notes how it ended, in the audit's words.
func (t *Trace) Outcome(word string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.e.Outcome = word
}

// Discards says that nothing of the answer leaves.
func (t *Trace) Discards() bool { return t != nil && t.discard }

// Asks notes who asks: the token in neutral words.
func (t *Trace) Asks(client string, scopes scope.Set) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.e.Client = client
	for _, name := range scopes.Others {
		if slices.Contains(contextScopes, name) {
			t.e.Scopes = append(t.e.Scopes, name)
		}
	}
	for _, s := range scopes.Resources {
		t.e.Scopes = append(t.e.Scopes, showScope(s))
	}
}

// Fails notes why a request for a type ended, and with which status.
func (t *Trace) Fails(typ string, err error, status int) {
	if t == nil || err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.e.Error, t.e.Status = fault.KindOf(err).String(), status
	var refused *search.Error
	if errors.As(err, &refused) && refused.Param != "" {
		t.e.Parameters = append(t.e.Parameters, Parameter{Name: knownParameter(typ, refused.Param), Became: "refused"})
	}
}

// Authorised notes how the scopes cover what is asked.
func (t *Trace) Authorised(who guard.Who, asks []guard.Ask) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, ask := range asks {
		access := ask.Access()
		out := Scope{Type: known(ask.Type), Access: access.String(), Covered: "nothing"}
		for _, level := range []scope.Level{scope.Patient, scope.User} {
			for _, s := range who.Scopes.Covering(level, ask.Type, access) {
				out.By = append(out.By, showScope(s))
			}
		}
		switch {
		case who.Patient == "":
			out.By, out.Missing = nil, "no-patient"
		case !compartment.Of(ask.Type).Class.Served():
			out.By, out.Missing = nil, "closed-type"
		case who.Covers(ask.Type, access) == guard.Whole:
			out.Covered = "whole"
		case who.Covers(ask.Type, access) == guard.Part:
			out.Covered = "part"
		default:
			out.Missing = "patient/" + known(ask.Type) + "." + access.String()
		}
		t.e.Authorised = append(t.e.Authorised, out)
	}
}

// Place says where a resource came back.
type Place struct {
	From     *Call  // the answer it stands in, nil without one
	Position int    // in there, from 1
	Mode     string // as the EHR says
	Proof    bool   // it was fetched to prove something
}

// Entry notes what became of a resource, whose type is "" when it cannot be read;
// nil when nobody asked, or when the list is full.
func (t *Trace) Entry(at Place, typ, became, reason string) *Entry {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if became == "withheld" && !at.Proof {
		t.reason(reason)
	}
	if at.From != nil {
		at.From.Entries = max(at.From.Entries, at.Position)
	}
	if len(t.e.Entries) >= maxListed {
		t.e.LeftOut++
		return nil
	}
	e := &Entry{Position: at.Position, Type: known(typ), Proof: at.Proof, Became: became, Reason: reason}
	if at.From != nil {
		e.Call = at.From.Number
	}
	if at.Mode != "" {
		e.Mode = "?"
	}
	if slices.Contains([]string{"match", "include", "outcome"}, at.Mode) {
		e.Mode = at.Mode
	}
	t.e.Entries = append(t.e.Entries, e)
	return e
}

func (t *Trace) reason(word string) {
	if t.e.Reasons == nil {
		t.e.Reasons = map[string]int{}
	}
	t.e.Reasons[word]++
}

// Withdraw notes that a resource which had been kept does not leave after all.
func (t *Trace) Withdraw(e *Entry, reason string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reason(reason)
	if e != nil {
		e.Became, e.Reason = "withheld", reason
	}
}

// Proof notes one proof.
func (t *Trace) Proof(kind, typ string, proven bool, why string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.e.Proofs) >= maxListed {
		t.e.LeftOut++
		return
	}
	t.e.Proofs = append(t.e.Proofs, Proof{Kind: kind, Type: known(typ), Proven: proven, Why: why})
}

// Cached notes what the cache said. class and result are constant words.
func (t *Trace) Cached(class, result string, seconds float64) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.e.Cache = append(t.e.Cache, Cache{Class: class, Result: result, Age: seconds})
}

// End is what an exchange came to.
type End struct {
	Interaction, Type          string
	Status                     int
	Released, Masked, Withheld int
	Page, NextPage             bool
}

// Ends notes what the exchange came to.
func (t *Trace) Ends(with End) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := &t.e
	e.Interaction, e.Type = with.Interaction, known(with.Type)
	e.Released, e.Masked, e.Withheld = with.Released, with.Masked, with.Withheld
	e.Page, e.NextPage = with.Page, with.NextPage
	if e.Status == 0 {
		e.Status = with.Status
	}
	e.Milliseconds = milliseconds(t.now().Sub(t.began))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
