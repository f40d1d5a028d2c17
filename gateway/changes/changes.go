// Package changes hears from EHRs that a record has changed (FHIR R4 rest-hook
// subscriptions, and topic-based ones with the Subscriptions R5 Backport), and has
// what is kept of the patient forgotten. It decides whose record it was by the
// owner rule alone; what cannot be tied to patients concerns the whole source. It
// must not keep, log or answer anything of what it is sent.
package changes

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/mux"
	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/rate"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// MaxBody is how many bytes a notification may have.
const MaxBody = 4 << 20

const (
	perMinute  = 6000 // notifications of one source that are looked at
	attempts   = 30   // with a wrong token, from one address in a minute
	minToken   = 32
	retryAfter = "5"
)

// Forgetter forgets what is kept of a patient at a source, or of everybody there
// when patient is "". An error means that not everybody could be told yet.
type Forgetter interface {
	Invalidate(ctx context.Context, source, patient string) error
}

// Source is an EHR that may notify.
type Source struct {
	ID    string
	Base  fhir.Base
	Token string // its credential, at least 32 characters
}

// Options configures a Server.
type Options struct {
	Sources []Source
	Forget  Forgetter
	Now     func() time.Time
	Addr    func(*http.Request) string // of the client; nil: RemoteAddr
}

// Server takes notifications.
type Server struct {
	o       Options
	sources map[string]source
	rate    *rate.Limiter
	wrong   *rate.Limiter
}

type source struct {
	Source
	digest [sha256.Size]byte
}

// New checks the options and makes a Server.
func New(o Options) (*Server, error) {
	if o.Forget == nil || len(o.Sources) == 0 {
		return nil, errors.New("changes: Forget and Sources are required")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Addr == nil {
		o.Addr = func(r *http.Request) string { return r.RemoteAddr }
	}
	s := &Server{o: o, sources: map[string]source{}, rate: rate.New(perMinute, time.Minute), wrong: rate.New(attempts, time.Minute)}
	for _, one := range o.Sources {
		if one.ID == "" || len(one.Token) < minToken || one.Base == (fhir.Base{}) {
			return nil, fmt.Errorf("changes: source %q needs an id, a base and a token of %d characters", one.ID, minToken)
		}
		s.sources[one.ID] = source{one, sha256.Sum256([]byte(one.Token))}
	}
	return s, nil
}

// Mount adds {public URL}/notify/{source}. A rest-hook with a payload is sent to
// {endpoint}/{type}/{id} by PUT (R4 subscription, section 2.46.8.1): what stands
// behind the source is not looked at.
func (s *Server) Mount(r *mux.Router) {
	h := handler.Adapt(s.serve, writeOutcome)
	r.Handle("/notify/{source}", h)
	r.PathPrefix("/notify/{source}/").Handler(h)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	from, known := s.sources[mux.Vars(r)["source"]]
	if !s.authentic(r, from, known) {
		if _, ok := s.wrong.Allow(s.o.Addr(r), s.o.Now()); !ok {
			return fault.New(fault.TooMany, "There were too many attempts.")
		}
		return fault.New(fault.Unauthenticated, "The credential is missing or wrong.")
	}
	reqctx.From(r.Context()).SetSource(from.ID)
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodDelete:
	default:
		return fault.New(fault.MethodNotAllowed, "Notifications are sent by POST or PUT.")
	}
	if _, ok := s.rate.AllowKey(from.ID, s.o.Now()); !ok {
		// What is not looked at may concern anybody.
		if err := s.forget(r.Context(), from.ID, []string{""}); err != nil {
			return err
		}
		return fault.New(fault.TooMany, "There are too many notifications.")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	if err != nil {
		return fault.Wrap(errors.New("changes: the body broke off"), fault.Invalid, "The body could not be read.")
	}
	concerned, why := from.concerned(body)
	if err := s.forget(r.Context(), from.ID, concerned); err != nil {
		return err
	}
	if why != nil {
		return why
	}
	return writeOK(w)
}

// authentic compares in constant time, an unknown source like a known one.
func (s *Server) authentic(r *http.Request, from source, known bool) bool {
	token, given := handler.Bearer(r)
	got := sha256.Sum256([]byte(token))
	same := subtle.ConstantTimeCompare(got[:], from.digest[:]) == 1
	return known && same && given
}

func (s *Server) forget(ctx context.Context, id string, patients []string) error {
	for _, p := range patients {
		if err := s.o.Forget.Invalidate(ctx, id, p); err != nil {
			if p != "" && len(patients) > 1 {
				// The others too, in one go, should it never be sent again.
				_ = s.o.Forget.Invalidate(ctx, id, "") // it goes on trying, as it does for p
			}
			return fault.Wrap(err, fault.Unavailable, "This could not be made known everywhere yet; send it again.")
		}
	}
	return nil
}

func writeOK(w http.ResponseWriter) error {
	return write(w, http.StatusOK, r4.IssueSeverityInformation, r4.IssueTypeInformational, "Noted.")
}

func writeOutcome(w http.ResponseWriter, r *http.Request, err error) {
	text := fault.PublicOf(err)
	code := r4.IssueTypeInvalid
	switch kind := fault.KindOf(err); kind {
	case fault.Unauthenticated:
		code = r4.IssueTypeLogin
		w.Header().Set("WWW-Authenticate", "Bearer")
	case fault.TooMany, fault.Unavailable:
		code = r4.IssueTypeTransient
		w.Header().Set("Retry-After", retryAfter)
	case fault.Internal:
		code, text = r4.IssueTypeException, "Something went wrong here."
	case fault.MethodNotAllowed:
		w.Header().Set("Allow", "POST, PUT")
	default:
	}
	if err := write(w, handler.Status(err), r4.IssueSeverityError, code, text); err != nil {
		reqctx.From(r.Context()).Fail(err)
	}
}

func write(w http.ResponseWriter, status int, severity r4.IssueSeverity, code r4.IssueType, text string) error {
	body, err := json.Marshal(r4.OperationOutcome{Issue: []r4.OperationOutcomeIssue{{Severity: severity, Code: code, Diagnostics: &text}}})
	if err != nil {
		return fmt.Errorf("changes: encoding an OperationOutcome: %w", err)
	}
	w.Header().Set("Content-Type", fhir.JSON)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the EHR is gone if this fails
	return nil
}
