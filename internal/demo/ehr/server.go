package ehr

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options says how the server behaves. The zero value is a working server.
type Options struct {
	Path     string           // the FHIR base below the host; "/fhir" when empty, "/" for none
	Strict   bool             // unknown search parameters are errors (400) instead of being ignored; Prefer: handling= overrides
	Bearer   string           // when set, callers must send this bearer token (metadata stays open)
	User     string           // when set, callers may send these credentials as HTTP Basic
	Password string           //
	PageSize int              // _count when a search has none; 50 when zero
	MaxPage  int              // the largest page; 1000 when zero
	Now      func() time.Time // time.Now when nil
	Rand     io.Reader        // crypto/rand when nil

	// The following are for misbehaving.
	Delay     time.Duration // how long Slow waits; 5 s when zero
	DripPause time.Duration // the pause between two pieces of a Drip; 200 ms when zero
	Elsewhere string        // base URL of the host that NextElsewhere and RedirectElsewhere name; http://elsewhere.invalid/fhir when empty
}

// Server is the EHR. All methods may be called concurrently.
type Server struct {
	o       Options
	path    string
	started time.Time
	store   *store
	pages   *pages
	writing sync.Mutex // held from reading a precondition to storing the change
	faults  faults

	restricted atomic.Pointer[Restriction]
}

var _ http.Handler = (*Server)(nil)

// New makes an empty server.
func New(o Options) *Server {
	if o.Path == "" {
		o.Path = "/fhir"
	}
	o.PageSize = orElse(o.PageSize, 50)
	o.MaxPage = orElse(o.MaxPage, 1000)
	o.Delay = orElse(o.Delay, 5*time.Second)
	o.DripPause = orElse(o.DripPause, 200*time.Millisecond)
	o.Elsewhere = strings.TrimRight(orElse(o.Elsewhere, "http://elsewhere.invalid/fhir"), "/")
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	path := strings.Trim(o.Path, "/")
	if path != "" {
		path = "/" + path
	}
	return &Server{o: o, path: path, started: o.Now(), store: newStore(), pages: newPages()}
}

func orElse[T comparable](value, other T) T {
	var zero T
	if value == zero {
		return other
	}
	return value
}

// ServeHTTP answers one request: read it, misbehave if so told, answer it,
// send it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	modes := s.faults.of(r)
	if s.insteadOfAnswer(w, r, modes) {
		return
	}
	if limits := s.restriction(); limits.Files {
		s.file(w, r, limits)
		return
	}
	c, err := s.newCall(w, r, modes)
	if err != nil {
		s.send(w, r, c, failed(err))
		return
	}
	s.send(w, r, c, s.answer(c))
}

// admitted checks the configured credentials (RFC 6750, RFC 7617).
func (s *Server) admitted(header http.Header) bool {
	if s.o.Bearer == "" && s.o.User == "" {
		return true
	}
	scheme, given, _ := strings.Cut(header.Get("Authorization"), " ")
	switch {
	case s.o.Bearer != "" && strings.EqualFold(scheme, "Bearer"):
		return same(given, s.o.Bearer)
	case s.o.User != "" && strings.EqualFold(scheme, "Basic"):
		decoded, err := base64.StdEncoding.DecodeString(given)
		return err == nil && same(string(decoded), s.o.User+":"+s.o.Password)
	}
	return false
}

func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
