package resilience

import (
	"strconv"
	"testing"
	"time"
)

func TestPartiesAreBoundedAndForgotten(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	o := Options{Now: func() time.Time { return now }, Breaker: Breaker{Requests: 2, Open: time.Hour}}
	o.fillIn()
	p := newParties(o, newBreaker(o.Breaker))
	for i := range 3 * maxParties {
		m, err := p.admit(strconv.Itoa(i))
		if err != nil {
			t.Fatal(err)
		}
		p.answered(m)
	}
	if n := len(p.of); n != maxParties+1 {
		t.Errorf("%d parties are known", n)
	}
	now = now.Add(o.Breaker.Window + time.Second)
	for range 2 {
		m, err := p.admit("hostile")
		if err != nil {
			t.Fatal(err)
		}
		p.failed(m)
	}
	if n := len(p.of); n != 1 {
		t.Errorf("%d parties are still known", n)
	}
	now = now.Add(o.Breaker.Window + time.Second)
	if m, err := p.admit("ordinary"); err != nil || len(p.of) != 2 {
		t.Errorf("%v, %v", m, err)
	}
	if err := p.closed("hostile"); err == nil {
		t.Error("who is kept away was forgotten")
	}
	if p.join("") != nil || len(p.of) != 2 {
		t.Error("what is nobody's is kept")
	}
}

func TestAProbeThatAPartyMadeFailDoesNotKeepTheEHRAway(t *testing.T) {
	o := Options{Breaker: Breaker{Requests: 2, Open: time.Nanosecond}}
	o.fillIn()
	p := newParties(o, newBreaker(o.Breaker))
	must := func(party string) permit {
		t.Helper()
		m, err := p.admit(party)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for range 2 { // the EHR could not be reached
		p.unreachable(must(""))
	}
	if got := p.ehr.read().word; got != stateOpen {
		t.Fatal(got)
	}
	p.failed(must("hostile"))
	if got := p.ehr.read().word; got != stateHalfOpen {
		t.Errorf("after a probe of the hostile one it is %s", got)
	}
	for range probes {
		p.answered(must("ordinary"))
	}
	if got := p.ehr.read().word; got != stateClosed {
		t.Errorf("after the probes of the ordinary one it is %s", got)
	}
}

func TestWhatWasLongAgoVouchesForNobody(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	o := Options{Now: func() time.Time { return now }}
	o.fillIn()
	p := newParties(o, newBreaker(o.Breaker))
	quiet, one, other := p.join("quiet"), p.join("one"), p.join("other")
	p.note(quiet, true)
	if p.note(one, false) || p.note(other, false) {
		t.Error("a failure is the EHR's although one of two others was answered")
	}
	for range 2 { // they ask again, and have no answer yet
		now = now.Add(o.Breaker.Window/2 + time.Second)
		for _, party := range []string{"quiet", "one", "other"} {
			p.join(party)
		}
	}
	if p.note(one, false) {
		t.Error("the failure of one alone is the EHR's")
	}
	if !p.note(other, false) {
		t.Error("the failure of all who had an answer is not the EHR's")
	}
}

// An app whose questions take long holds one probe and not all: the others find out
// that the EHR is well again.
func TestAPartyThatIsSlowDoesNotHoldAllProbes(t *testing.T) {
	o := Options{Breaker: Breaker{Requests: 2, Open: time.Nanosecond}}
	o.fillIn()
	p := newParties(o, newBreaker(o.Breaker))
	for range 2 { // the EHR could not be reached
		m, err := p.admit("")
		if err != nil {
			t.Fatal(err)
		}
		p.unreachable(m)
	}
	slow, err := p.admit("slow")
	if err != nil {
		t.Fatal(err)
	}
	for range probes {
		if _, err := p.admit("slow"); err == nil {
			t.Error("it has another one")
		}
	}
	for range probes {
		m, err := p.admit("ordinary")
		if err != nil {
			t.Fatal(err)
		}
		p.answered(m)
	}
	if word := p.ehr.read().word; word != stateClosed {
		t.Errorf("the EHR's breaker is %s", word)
	}
	p.failed(slow)
	if m, err := p.admit("slow"); err != nil || m.of.tries {
		t.Errorf("%+v, %v", m, err)
	}
}
