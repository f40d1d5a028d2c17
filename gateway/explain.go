package gateway

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/uscore"
	"github.com/portico-fhir/portico/gateway/guard"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/smart/scope"
)

// maxListed bounds each list of a trace; what is beyond is counted.
const maxListed = 1000

// trace collects the Explanation of one exchange. All methods may be called on
// nil, where they do nothing: nobody asked. Nothing that is not in a closed list
// may get into it; hide says how.
type trace struct {
	now     func() time.Time
	began   time.Time
	discard bool // nothing of the answer leaves

	mu sync.Mutex
	e  Explanation
}

// step notes how far the request has come.
func (t *trace) step(name string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.e.Ended = name
}

// outcome notes how it ended, in the audit's words.
func (t *trace) outcome(word string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.e.Outcome = word
}

// discards says that nothing of the answer leaves.
func (t *trace) discards() bool { return t != nil && t.discard }

// asks notes who asks: the token in neutral words.
func (t *trace) asks(client string, scopes scope.Set) {
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

// contextScopes are the identity and context scopes that may be shown.
var contextScopes = []string{"openid", "fhirUser", "profile", "launch", "launch/patient", "launch/encounter", "offline_access", "online_access"}

// showScope prints a scope. The values of a granular one are the app's words; the
// categories of US Core are nobody's data and are shown.
func showScope(s scope.Resource) string {
	typ := s.Type
	if typ != scope.AnyType {
		typ = known(typ)
	}
	out := string(s.Level) + "/" + typ + "." + s.Access.String()
	for i, p := range s.Filter {
		sep, value := "&", "…"
		if i == 0 {
			sep = "?"
		}
		if p.Name == "category" && slices.Contains(uscore.Categories(s.Type), p.Value) {
			value = p.Value
		}
		out += sep + knownParameter(s.Type, p.Name) + "=" + value
	}
	return out
}

// known lets the name of a resource type pass, whoever wrote it.
func known(typ string) string {
	if typ == "" || search.IsResourceType(typ) {
		return typ
	}
	return "?"
}

// controls are the parameters that are no filters.
var controls = []string{"_count", "_sort", "_include", "_revinclude", "_elements", "_summary", "_total", "_format", "_pretty", "_page", "_type", "_since"}

// knownParameter lets a parameter's name pass that FHIR defines for the type, or
// for any when it is a control.
func knownParameter(typ, name string) string {
	name, _, _ = strings.Cut(name, ":")
	if _, is := search.Lookup(typ, name); is || slices.Contains(controls, name) {
		return name
	}
	return "?"
}

// fails notes why the request ended.
func (t *trace) fails(x *exchange, err error) {
	if t == nil || err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.e.Error, t.e.Status = fault.KindOf(err).String(), statusOf(err)
	var refused *search.Error
	if errors.As(err, &refused) && refused.Param != "" {
		t.e.Parameters = append(t.e.Parameters, ExplainedParameter{Name: knownParameter(x.event.Type, refused.Param), Became: "refused"})
	}
}

// authorised notes how the scopes cover what is asked.
func (t *trace) authorised(who guard.Who, asks []guard.Ask) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, ask := range asks {
		access := accessOf(ask)
		out := ExplainedScope{Type: known(ask.Type), Access: access.String(), Covered: "nothing"}
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

func accessOf(a guard.Ask) scope.Access {
	switch a.Interaction {
	case guard.Search:
		return scope.Search
	case guard.Create:
		return scope.Create
	case guard.Update, guard.Patch:
		return scope.Update
	case guard.Delete:
		return scope.Delete
	default:
		return scope.Read
	}
}

// entry notes what became of a resource; nil when nobody asked, or when the list
// is full.
func (t *trace) entry(x *exchange, one item, became, reason string) *ExplainedEntry {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if became == "withheld" && x.depth == 0 {
		t.reason(reason)
	}
	if one.from != nil {
		one.from.Entries = max(one.from.Entries, one.position)
	}
	if len(t.e.Entries) >= maxListed {
		t.e.LeftOut++
		return nil
	}
	e := &ExplainedEntry{Position: one.position, Proof: x.depth > 0, Became: became, Reason: reason}
	if one.from != nil {
		e.Call = one.from.Number
	}
	if one.Resource != nil {
		e.Type = known(one.Resource.Type())
	}
	if one.Mode != "" {
		e.Mode = "?"
	}
	if slices.Contains([]string{"match", "include", "outcome"}, one.Mode) {
		e.Mode = one.Mode
	}
	t.e.Entries = append(t.e.Entries, e)
	return e
}

func (t *trace) reason(word string) {
	if t.e.Reasons == nil {
		t.e.Reasons = map[string]int{}
	}
	t.e.Reasons[word]++
}

// withdraw notes that a resource which had been kept does not leave after all.
func (t *trace) withdraw(e *ExplainedEntry, reason string) {
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

// proof notes one proof.
func (t *trace) proof(kind, typ string, proven bool, why string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.e.Proofs) >= maxListed {
		t.e.LeftOut++
		return
	}
	t.e.Proofs = append(t.e.Proofs, ExplainedProof{Kind: kind, Type: known(typ), Proven: proven, Why: why})
}

// cached notes what the cache said. class and result are constant words.
func (t *trace) cached(class, result string, seconds float64) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.e.Cache = append(t.e.Cache, ExplainedCache{Class: class, Result: result, Age: seconds})
}

// ends notes what the exchange came to.
func (t *trace) ends(x *exchange) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := &t.e
	e.Interaction, e.Type = x.event.Interaction, known(x.event.Type)
	e.Released, e.Masked, e.Withheld = x.counts.released, x.counts.masked, x.counts.withheld
	e.Page, e.NextPage = x.resume != nil, len(x.next) > 0
	if e.Status == 0 {
		e.Status = x.event.Status
	}
	e.Milliseconds = milliseconds(t.now().Sub(t.began))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
