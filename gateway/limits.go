package gateway

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/rate"
)

// Budget counts how often a party asks, on this replica or on all together.
type Budget interface {
	// Take takes one of key's tokens: wait is 0 when there was one. Otherwise
	// nothing is taken and there is none for wait. An error says that it cannot be
	// told.
	Take(ctx context.Context, key string, limit rate.Limit) (wait time.Duration, err error)
}

// Limits bound how often may be asked for data. A batch counts by its entries.
type Limits struct {
	Budget     Budget     // required unless both limits are none
	PerApp     rate.Limit // of one app, whomever it asks for
	PerPatient rate.Limit // of one patient of a source, whichever app asks
}

// spend takes from the budgets of the app and of the patient. Who has none left
// is told so before anything is understood, asked of the EHR, or written down: the
// audit must not be what a flood fills.
func (g *Gateway) spend(x *exchange) error {
	for _, b := range []struct {
		limit rate.Limit
		key   string
		text  string
	}{
		{g.limits.PerApp, "app\x00" + x.grant.Client, "This app asks too often. Please wait."},
		{g.limits.PerPatient, "patient\x00" + x.src.ID + "\x00" + x.grant.Patient, "This record is asked for too often. Please wait."},
	} {
		if b.limit.None() {
			continue
		}
		wait, err := g.limits.Budget.Take(x.ctx, b.key, b.limit)
		if err != nil {
			return fault.Wrap(err, fault.Unavailable, "The request cannot be counted now.")
		}
		if wait > 0 {
			return fault.Later(fault.TooMany, wait, b.text)
		}
	}
	return nil
}

// Overloaded answers a request of the FHIR API that there is no room for, as
// LongURL does for one that is too long.
func Overloaded(w http.ResponseWriter, r *http.Request, after time.Duration) bool {
	if !strings.HasPrefix(r.URL.Path, "/fhir/") {
		return false
	}
	cors(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeOutcome(w, r, fault.Later(fault.Unavailable, after, "There are too many requests at once. Please try again."))
	})).ServeHTTP(w, r)
	return true
}

// Describes says whether a path is one of those that describe a FHIR base: they
// are what monitoring and apps look at first.
func Describes(path string) bool {
	rest, ours := strings.CutPrefix(path, "/fhir/")
	_, rest, _ = strings.Cut(rest, "/")
	return ours && (rest == "metadata" || rest == ".well-known/smart-configuration")
}
