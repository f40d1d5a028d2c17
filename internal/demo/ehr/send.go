package ehr

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir"
)

// insteadOfAnswer does what replaces an answer, and says whether it did.
func (s *Server) insteadOfAnswer(w http.ResponseWriter, r *http.Request, modes Mode) bool {
	if modes.has(Slow) && !pause(r, s.o.Delay) {
		panic(http.ErrAbortHandler)
	}
	switch {
	case modes.has(Drop):
		panic(http.ErrAbortHandler) // net/http closes the connection and says nothing
	case modes.has(RedirectElsewhere):
		w.Header().Set("Location", s.o.Elsewhere+strings.TrimPrefix(r.URL.RequestURI(), s.path))
		w.WriteHeader(http.StatusTemporaryRedirect)
	case modes.has(HTMLError):
		page(w, http.StatusBadGateway, "<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1><p>upstream ehr-db-7.internal.example:5432 refused; request "+
			escape(r.URL.RequestURI())+"</p><hr>nginx/1.14.0 at "+escape(r.Host)+"</body></html>")
	case modes.has(LoginPage):
		page(w, http.StatusOK, "<html><head><title>Sign in</title></head><body><form action=\"http://sso.internal.example/login\" method=\"post\"><input name=\"user\"><input name=\"password\" type=\"password\"></form></body></html>")
	case modes.has(StackTrace):
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprintf(w, "java.lang.NullPointerException: no compartment for %s\n\tat com.ehr.fhir.Search.run(Search.java:217)\n\tat com.ehr.fhir.Servlet.doGet(Servlet.java:88)\nCaused by: java.sql.SQLException: jdbc:postgresql://ehr-db-7.internal.example/prod?user=ehr\n", s.somePatients())
	case modes.has(ChattyOutcome):
		w.Header().Set("Content-Type", "application/fhir+json; charset=utf-8")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write(outcome("fatal", "exception", "could not load "+s.somePatients()+" from jdbc:postgresql://ehr-db-7.internal.example/prod for "+r.Host))
	default:
		return false
	}
	return true
}

func page(w http.ResponseWriter, status int, html string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(html))
}

func escape(s string) string {
	return strings.NewReplacer("<", "&lt;", "&", "&amp;").Replace(s)
}

// somePatients names up to three patients, as careless errors do.
func (s *Server) somePatients() string {
	typ, _ := typeNamed("Patient")
	var named []string
	for _, record := range s.store.ofType(typ) {
		if res, err := fhir.ParseResource(s.store.get(record).raw); err == nil && len(named) < 3 {
			named = append(named, "Patient/"+res.ID())
		}
		if len(named) == 3 {
			break
		}
	}
	return strings.Join(named, ", ")
}

// pause waits, and says whether the caller is still there.
func pause(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// send writes an answer: the only place that does.
func (s *Server) send(w http.ResponseWriter, r *http.Request, c *call, a answer) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if a.file != nil {
		s.sendFile(w, r, c, a)
		return
	}
	body := a.resource
	if a.bundle != nil {
		body = a.bundle.render()
	}
	if body == nil {
		w.WriteHeader(a.status)
		return
	}
	w.Header().Set("Content-Type", "application/fhir+json; charset=utf-8")
	if c.modes.has(WrongType) {
		w.Header().Set("Content-Type", "text/html")
	}
	s.transmit(w, r, a.status, body, c.modes)
}

// transmit sends a body, well or badly. Write errors mean that the client has
// gone, which is its right.
func (s *Server) transmit(w http.ResponseWriter, r *http.Request, status int, body []byte, modes Mode) {
	half := body[:len(body)/2]
	switch {
	case modes.has(Truncate):
		w.Header().Set("Content-Length", strconv.Itoa(len(half)))
		body = half
	case modes.has(WrongLength):
		w.Header().Set("Content-Length", strconv.Itoa(len(body)+1000))
	case modes.has(ShortLength):
		s.shortLength(w, r, status, body)
		return
	case modes.has(DropMidBody):
		w.WriteHeader(status)
		_, _ = w.Write(half)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case !modes.has(Drip):
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	if !modes.has(Drip) {
		_, _ = w.Write(body)
		return
	}
	piece := max(1, (len(body)+31)/32)
	for len(body) > 0 && pause(r, s.o.DripPause) {
		n := min(piece, len(body))
		if _, err := w.Write(body[:n]); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		body = body[n:]
	}
}

// shortLength writes the answer by hand: net/http would not let it.
func (s *Server) shortLength(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	conn, out, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2, or a recorder
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(out, "HTTP/1.1 %d %s\r\nContent-Type: application/fhir+json\r\nContent-Length: %d\r\n\r\n", status, http.StatusText(status), len(body)/2)
	_, _ = out.Write(body)
	_ = out.Flush()
}
