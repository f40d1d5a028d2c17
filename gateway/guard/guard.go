// Package guard decides, and does nothing else: may this token ask this, what
// must the upstream be asked instead, and may this resource leave? Every
// decision is a pure function of who asks, what is asked and what came back.
// It must not know HTTP, upstreams, caches or stores, so that it can be read
// and tested whole.
package guard

import (
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/compartment"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/sensitivity"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/smart/scope"
)

// Who is asking: what the token stands for, as seen from one upstream.
type Who struct {
	Patient string    // Patient id at the source; "" may see nothing
	Scopes  scope.Set // as granted
	Base    fhir.Base // the upstream's base, against which references resolve
	Now     func() time.Time
	Labels  sensitivity.Labels // that keep a resource from leaving
}

func (w Who) whose() compartment.Whose {
	return compartment.Whose{Base: w.Base, Patient: w.Patient}
}

// Interaction is a FHIR interaction by its code in the CapabilityStatement.
type Interaction string

// The interactions that are served.
const (
	Read    Interaction = "read"
	VRead   Interaction = "vread"
	History Interaction = "history-instance"
	Search  Interaction = "search-type"
	Create  Interaction = "create"
	Update  Interaction = "update"
	Patch   Interaction = "patch"
	Delete  Interaction = "delete"
)

// Ask is one request, understood completely.
type Ask struct {
	Interaction Interaction
	Type        string
	ID          string       // Read, VRead, History
	Version     string       // VRead
	Query       search.Query // Search; of History the Count
}

// Access is what a scope must give for it.
func (a Ask) Access() scope.Access {
	switch a.Interaction {
	case Search:
		return scope.Search
	case Create:
		return scope.Create
	case Update, Patch:
		return scope.Update
	case Delete:
		return scope.Delete
	}
	return scope.Read
}

// Authorise says whether the token covers the interaction on the type at all:
// step 3 of the path. A granular scope is enough to ask; which resources it
// opens is judged one by one. Errors are faults of kind Forbidden that name the
// missing scope; nothing depends on whether anything exists.
func (w Who) Authorise(a Ask) error {
	if w.Patient == "" {
		return fault.New(fault.Forbidden, "This token is not bound to a patient, so it opens no record.")
	}
	if !compartment.Of(a.Type).Class.Served() {
		return fault.New(fault.Forbidden, "%s is not open to patient apps.", a.Type)
	}
	if w.Covers(a.Type, a.Access()) == Nothing {
		return fault.New(fault.Forbidden, "This needs the scope patient/%s.%s, which the token does not have.", a.Type, a.Access())
	}
	return nil
}

// namesStranger says whether a search value names a patient other than the own.
// Values are as the app wrote them: "id", "Type/id" or an absolute URL.
func (w Who) namesStranger(d search.Definition, value string) (bool, error) {
	to := w.Base.Resolve(value)
	switch {
	case to.Where == fhir.Local:
		return to.Type == "Patient" && to.ID != w.Patient, nil
	case to.Where == fhir.Foreign && !mayTargetPatient(d):
		return false, nil // a canonical URL, of a Questionnaire for instance
	case to.Where == fhir.Foreign:
		return false, fault.New(fault.Invalid, "The parameter %s must name a resource of this server.", d.Name)
	case !fhir.ValidID(value):
		return false, fault.New(fault.Invalid, "The parameter %s must be written as Type/id.", d.Name)
	case len(d.Targets) == 1:
		return d.Targets[0] == "Patient" && value != w.Patient, nil
	case mayTargetPatient(d) && value != w.Patient:
		return false, fault.New(fault.Invalid, "The parameter %s may name several types: write it as Type/id.", d.Name)
	}
	return false, nil
}

func mayTargetPatient(d search.Definition) bool {
	if len(d.Targets) == 0 {
		return true
	}
	for _, t := range d.Targets {
		if t == "Patient" || t == "Resource" {
			return true
		}
	}
	return false
}

// plain takes off the FHIR escapes of a search value.
func plain(value string) string {
	return strings.NewReplacer(`\,`, `,`, `\|`, `|`, `\$`, `$`, `\\`, `\`).Replace(value)
}
