package ehr

import (
	"net/http"
	"sync"
)

// Mode is a set of misbehaviours; combine them with |.
type Mode uint64

const (
	// IgnorePatient drops every search parameter that may name a patient
	// (patient, subject, actor …) and the compartment of a compartment search.
	IgnorePatient Mode = 1 << iota
	// IgnoreID drops _id from searches.
	IgnoreID
	// ForeignRows puts resources of other patients first and last among the
	// matches of a search, beyond what total counts.
	ForeignRows
	// ForeignRead answers a read with a resource of the same type that belongs
	// to somebody else, under that resource's own id.
	ForeignRead
	// DisguisedRead is ForeignRead with the id changed to the one asked for.
	DisguisedRead
	// ExtraIncludes adds resources of other types and other patients with
	// search.mode include, though nobody asked.
	ExtraIncludes
	// NoSearchMode leaves out search.mode, so that matches and includes look
	// the same.
	NoSearchMode
	// DuplicateKeys repeats the owner element (or else id) at the end of every
	// resource, naming the patient asked for.
	DuplicateKeys
	// CaseSpoofedKeys adds the owner element once more with a capital letter
	// (Subject), naming the patient asked for.
	CaseSpoofedKeys
	// EscapedKeys spells the owner element with a \u escape.
	EscapedKeys
	// BadUTF8 puts bytes that are no UTF-8 into every resource.
	BadUTF8
	// NoID leaves out the id of every resource.
	NoID
	// NoType leaves out the resourceType of every resource.
	NoType
	// AbsoluteURLs makes every relative reference and attachment URL inside
	// resources absolute on the server's own base.
	AbsoluteURLs
	// ElsewhereURLs gives entries a fullUrl on another host.
	ElsewhereURLs
	// WrongTotal counts a thousand matches too many.
	WrongTotal
	// NextElsewhere sends a next link to Options.Elsewhere with every search.
	NextElsewhere
	// EndlessPages sends a next link that leads back to the same page.
	EndlessPages
	// HTMLError answers 502 with a page of HTML that names hosts.
	HTMLError
	// LoginPage answers 200 with a page of HTML.
	LoginPage
	// StackTrace answers 500 with a stack trace that names patients.
	StackTrace
	// ChattyOutcome answers 500 with an OperationOutcome that names hosts and
	// patients.
	ChattyOutcome
	// RedirectElsewhere answers 307 to the same address at Options.Elsewhere.
	RedirectElsewhere
	// Slow waits for Options.Delay before it answers.
	Slow
	// Drip sends the body in 32 pieces with Options.DripPause between them.
	Drip
	// Truncate sends the first half of the body as if it were all of it.
	Truncate
	// WrongLength announces a longer body than it sends.
	WrongLength
	// ShortLength announces half of the body and sends all of it, so that the
	// rest stands where the next answer on the connection should.
	ShortLength
	// DropMidBody cuts the connection after half of a body of unknown length.
	DropMidBody
	// Drop cuts the connection before the first byte of an answer.
	Drop
	// WrongType labels the body text/html.
	WrongType
	// RawBinary gives every Binary as it is, whatever is asked for.
	RawBinary
	modesEnd
)

// AllModes holds every misbehaviour, for tests that must leave none out.
const AllModes = modesEnd - 1

func (m Mode) has(one Mode) bool { return m&one != 0 }

// faults holds what is switched on.
type faults struct {
	mu    sync.RWMutex
	modes Mode
	when  func(*http.Request) bool
}

// Misbehave switches exactly these misbehaviours on, for all requests that
// begin from now on; 0 makes the server honest again.
func (s *Server) Misbehave(m Mode) { s.MisbehaveWhen(m, nil) }

// MisbehaveWhen is Misbehave for those requests only that when picks. It is
// called for every request, possibly at the same time.
func (s *Server) MisbehaveWhen(m Mode, when func(*http.Request) bool) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.modes, s.faults.when = m, when
}

func (f *faults) of(r *http.Request) Mode {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.when != nil && !f.when(r) {
		return 0
	}
	return f.modes
}
