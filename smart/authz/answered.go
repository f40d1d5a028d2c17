package authz

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/internal/seal"
	"github.com/portico-fhir/portico/smart/token"
)

const (
	// answeredFor is how long a form that is sent again gets the same answer: as
	// long as its code is good.
	answeredFor = codeTTL
	// answerWait is how long a form that is sent again waits for the first, which
	// may be at another replica, and answerPoll how often it asks.
	answerWait = 10 * time.Second
	answerPoll = 20 * time.Millisecond
)

// Answered is how a request of the pages ended, kept for a moment so that a
// button pressed twice is one answer and no error. Only the same form of the
// browser that gave the answer gets it again, and never a code that the app has
// used: a second use would end the grant (RFC 6749 §4.1.2).
type Answered struct {
	Request string // the pending request
	Browser []byte // digest of the browser's secret
	Form    string // digest of what was sent
	Expires time.Time

	Done bool
	// Location is where the browser was sent, sealed with its secret, for a code
	// is in it; empty when there is nothing to repeat.
	Location []byte
	Code     token.Digest // in Location; zero when there is none
}

// AnsweredStore keeps how requests ended.
type AnsweredStore interface {
	// BeginAnswer notes that a request is being finished, and tells whether this
	// call is the first to do so. One that has expired at now does not count.
	BeginAnswer(ctx context.Context, a Answered, now time.Time) (first bool, err error)
	// FinishAnswer notes how; an empty location deletes what was begun.
	FinishAnswer(ctx context.Context, request string, location []byte, code token.Digest) error
	// Answer gives what is known of a request at now, or token.ErrNotFound.
	Answer(ctx context.Context, request string, now time.Time) (Answered, error)
	// ForgetAnswer empties the location that holds a code; there may be none.
	ForgetAnswer(ctx context.Context, code token.Digest) error
}

// codeIn gives the digest of the code that redirect put last into an address.
func codeIn(location string) token.Digest {
	u, err := url.Parse(location)
	if err != nil {
		return token.Digest{}
	}
	codes := u.Query()["code"]
	if len(codes) == 0 {
		return token.Digest{}
	}
	return token.DigestOf(codes[len(codes)-1])
}

// answerSealer seals with a secret that only the browser has: whoever reads the
// store learns no code.
func answerSealer(secret string) (*seal.Sealer, error) {
	raw, err := base64.RawURLEncoding.DecodeString(secret)
	if err != nil {
		return nil, err
	}
	ring, err := seal.NewRing(raw)
	if err != nil {
		return nil, err
	}
	return ring.For("answer")
}

// once finishes a request by do, which sends the browser to the app. It happens
// once, whichever replica is asked; whoever sends the form a second time
// meanwhile waits for the first. Since the person has decided, their browser
// going away changes nothing.
func (s *Server) once(w http.ResponseWriter, r *http.Request, st step, fields []field, do func(ctx context.Context) error) error {
	secret, ok := s.browserSecret(r)
	if !ok {
		return gone()
	}
	ctx, now := context.WithoutCancel(r.Context()), s.o.Now()
	first, err := s.o.Answered.BeginAnswer(ctx, Answered{
		Request: st.pending.ID, Browser: browserDigest(secret), Form: fingerprint(fields), Expires: now.Add(answeredFor),
	}, now)
	if err != nil {
		return unavailable(err, "note an answer")
	}
	if !first {
		return s.sentAgain(w, r, fields, gone())
	}
	defer s.answered(ctx, w, st.pending.ID, secret)
	return do(ctx)
}

// answered notes where a request was sent. That it cannot costs whoever presses
// twice an error, and nobody else anything.
func (s *Server) answered(ctx context.Context, w http.ResponseWriter, request, secret string) {
	location := w.Header().Get("Location")
	var sealed []byte
	if location != "" {
		sealer, err := answerSealer(secret)
		if err != nil {
			reqctx.From(ctx).Fail(unavailable(err, "seal an answer"))
			return
		}
		sealed = sealer.Seal([]byte(location), request)
	}
	if err := s.o.Answered.FinishAnswer(ctx, request, sealed, codeIn(location)); err != nil {
		reqctx.From(ctx).Fail(unavailable(err, "keep an answer"))
	}
}

// late is a form for a request that is over.
func (s *Server) late(w http.ResponseWriter, r *http.Request, over error) error {
	fields, err := readFields(w, r)
	if err != nil {
		return err
	}
	return s.sentAgain(w, r, fields, over)
}

// fingerprint tells forms apart.
func fingerprint(fields []field) string {
	var parts []string
	for _, f := range fields {
		parts = append(parts, f.name, f.value)
	}
	return keyed("portico form sent 1", parts...)
}

// sentAgain answers a form for a request that is over: as the first time, if
// that was a moment ago in this browser. There is nothing to repeat for another
// form than the one that was taken: a no is not answered with the code of a yes.
func (s *Server) sentAgain(w http.ResponseWriter, r *http.Request, fields []field, otherwise error) error {
	secret, ok := s.browserSecret(r)
	if !ok {
		return otherwise
	}
	request := r.URL.Query().Get(paramRequest)
	a, err := s.awaitAnswer(r.Context(), request, browserDigest(secret))
	switch {
	case errors.Is(err, token.ErrNotFound):
		return otherwise
	case err != nil:
		return unavailable(err, "look for an answer")
	case a.Form != fingerprint(fields) || len(a.Location) == 0:
		return alreadyAnswered()
	}
	sealer, err := answerSealer(secret)
	if err != nil {
		return otherwise
	}
	location, err := sealer.Open(a.Location, request)
	if err != nil {
		return otherwise
	}
	seeOther(w, string(location))
	return nil
}

// awaitAnswer waits for the end of a request that is being finished; it is not
// found when none is known for this browser, or when the replica that was at it
// is no more.
func (s *Server) awaitAnswer(ctx context.Context, request string, browser []byte) (Answered, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	ticker := time.NewTicker(answerPoll)
	defer ticker.Stop()
	for {
		a, err := s.o.Answered.Answer(ctx, request, s.o.Now())
		switch {
		case err != nil:
			return Answered{}, err
		case subtle.ConstantTimeCompare(browser, a.Browser) != 1:
			return Answered{}, token.ErrNotFound
		case a.Done:
			return a, nil
		}
		select {
		case <-ctx.Done():
			return Answered{}, token.ErrNotFound
		case <-ticker.C:
		}
	}
}
