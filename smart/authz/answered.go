package authz

import (
	"context"
	"crypto/subtle"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/portico-fhir/portico/smart/token"
)

const (
	// answeredFor is how long a form that is sent again gets the same answer: as
	// long as its code is good.
	answeredFor = codeTTL
	// maxAnswered bounds what is kept; the pages of more people than that a
	// minute are told that the request is over when they send a form twice.
	maxAnswered = 4096
)

// answered keeps for a moment where finished requests were sent, so that a
// button pressed twice is one answer and no error. Only the same form of the
// browser that gave the answer gets it again, and never a code that the app has
// used: a second use would end the grant (RFC 6749 §4.1.2).
type answered struct {
	mu   sync.Mutex
	last map[string]*outcome // by pending request
}

// outcome is how a request ends.
type outcome struct {
	browser  []byte
	form     string // what was sent, as a digest
	expires  time.Time
	done     chan struct{} // closed when the rest is known
	location string        // "" when there is nothing to repeat
	code     token.Digest  // in location; zero when there is none
}

// begin notes that a request is being finished, unless it is already or there
// is no room.
func (a *answered) begin(request, form string, browser []byte, now time.Time) (first, noted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, there := a.last[request]; there {
		return false, false
	}
	if len(a.last) >= maxAnswered {
		for id, o := range a.last {
			if !now.Before(o.expires) {
				delete(a.last, id)
			}
		}
		if len(a.last) >= maxAnswered {
			return true, false
		}
	}
	a.last[request] = &outcome{browser: browser, form: form, expires: now.Add(answeredFor), done: make(chan struct{})}
	return true, true
}

// finish notes where it was sent.
func (a *answered) finish(request, location string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.last[request]
	if location == "" {
		delete(a.last, request)
	}
	o.location, o.code = location, codeIn(location)
	close(o.done)
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

// use forgets the address that holds a code, since the app is trying it.
func (a *answered) use(code token.Digest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.last {
		if o.location != "" && o.code == code {
			o.location = ""
		}
	}
}

// of waits for the end of a request that is being finished; false when none is
// known for this browser. There is nothing to repeat for another form than the
// one that was taken: a no is not answered with the code of a yes.
func (a *answered) of(ctx context.Context, request, form string, browser []byte, now time.Time) (location string, ok bool) {
	a.mu.Lock()
	o := a.last[request]
	a.mu.Unlock()
	if o == nil || !now.Before(o.expires) || subtle.ConstantTimeCompare(browser, o.browser) != 1 {
		return "", false
	}
	select {
	case <-o.done:
	case <-ctx.Done():
		return "", false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if form != o.form {
		return "", true
	}
	return o.location, true
}

// once finishes a request by do, which sends the browser to the app. It happens
// once; whoever sends the form a second time meanwhile waits for the first.
// Since the person has decided, their browser going away changes nothing.
func (s *Server) once(w http.ResponseWriter, r *http.Request, st step, fields []field, do func(ctx context.Context) error) error {
	first, noted := s.answered.begin(st.pending.ID, fingerprint(fields), st.pending.Browser, s.o.Now())
	if !first {
		return s.sentAgain(w, r, fields, gone())
	}
	if noted {
		defer func() { s.answered.finish(st.pending.ID, w.Header().Get("Location")) }()
	}
	return do(context.WithoutCancel(r.Context()))
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
// that was a moment ago in this browser.
func (s *Server) sentAgain(w http.ResponseWriter, r *http.Request, fields []field, otherwise error) error {
	secret, ok := s.browserSecret(r)
	if !ok {
		return otherwise
	}
	location, ok := s.answered.of(r.Context(), r.URL.Query().Get(paramRequest), fingerprint(fields), browserDigest(secret), s.o.Now())
	switch {
	case !ok:
		return otherwise
	case location == "":
		return alreadyAnswered()
	}
	seeOther(w, location)
	return nil
}
