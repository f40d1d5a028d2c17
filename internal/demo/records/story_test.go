package records_test

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/internal/demo/records"
)

func (s set) person(t *testing.T, login string) records.Person {
	t.Helper()
	i := slices.IndexFunc(s.cast.People, func(p records.Person) bool { return p.Login == login })
	if i < 0 {
		t.Fatalf("nobody signs in as %s", login)
	}
	return s.cast.People[i]
}

func TestTheCastIsOfTheSetAndHasOneWithoutRecord(t *testing.T) {
	for _, patients := range []int{1, 2, 5, 20} {
		s := generate(t, records.Options{Seed: 1, Patients: patients, Now: day})
		strangers := 0
		for _, p := range s.cast.People {
			if p.Login == "" || p.Password == "" || p.Name == "" || p.Story == "" || !strings.HasSuffix(p.Email, "@example.org") {
				t.Errorf("%d patients: %+v is not complete", patients, p)
			}
			if len(p.FHIRUser) == 0 {
				strangers++
			}
			for _, user := range p.FHIRUser {
				if s.byRef[user] == nil {
					t.Errorf("%d patients: %s is %s, which is not there", patients, p.Login, user)
				}
			}
		}
		if len(s.cast.Clinicians) != 1 || s.byRef[s.cast.Clinicians[0].FHIRUser[0]] == nil {
			t.Errorf("%d patients: the clinicians are %+v", patients, s.cast.Clinicians)
		}
		if strangers != 1 {
			t.Errorf("%d patients: %d people without a record, want 1", patients, strangers)
		}
	}
}

func TestAParentSeesHerOwnRecordAndHerChilds(t *testing.T) {
	s := generate(t, records.Options{Seed: 1, Patients: 10, Now: day})
	for login, child := range map[string]string{"maria": "Patient/p-00003", "thomas": "Patient/p-00009"} {
		users := s.person(t, login).FHIRUser
		if len(users) != 2 || !strings.HasPrefix(users[0], "Patient/") || !strings.HasPrefix(users[1], "RelatedPerson/") {
			t.Fatalf("%s is %v, want a Patient and a RelatedPerson", login, users)
		}
		self, proxy := s.byRef[users[0]], s.byRef[users[1]]
		if text(proxy, "patient", "reference") != child {
			t.Errorf("%s acts for %s, want %s", login, text(proxy, "patient", "reference"), child)
		}
		if text(self, "name", "family") != text(proxy, "name", "family") || text(self, "birthDate") != text(proxy, "birthDate") {
			t.Errorf("%s and the RelatedPerson are not the same person", login)
		}
	}
	if users := s.person(t, "grace").FHIRUser; len(users) != 1 || text(s.byRef[users[0]], "relationship", "coding", "code") != "GUARD" {
		t.Errorf("grace is %v, want a guardian alone", users)
	}
}

func TestFamiliesShareNameAndHome(t *testing.T) {
	s := generate(t, records.Options{Seed: 12, Patients: 60, Now: day})
	for block := range 6 {
		for _, pair := range [][2]int{{2, 3}, {8, 9}} {
			parent := s.ofType("Patient")[block*10+pair[0]-1]
			child := s.ofType("Patient")[block*10+pair[1]-1]
			if text(parent, "name", "family") != text(child, "name", "family") || text(parent, "address", "line") != text(child, "address", "line") {
				t.Errorf("%s and %s are no family", parent.ID(), child.ID())
			}
		}
	}
}

func TestAGroupVisitJoinsTwoFamilies(t *testing.T) {
	s := generate(t, records.Options{Seed: 1, Patients: 10, Now: day})
	var past, coming int
	for _, a := range s.ofType("Appointment") {
		var family []string
		for _, actor := range texts(a, "participant", "actor", "reference") {
			if strings.HasPrefix(actor, "Patient/") {
				family = append(family, text(s.byRef[actor], "name", "family"))
			}
		}
		if len(family) < 2 {
			continue
		}
		if len(family) != 2 || family[0] == family[1] {
			t.Errorf("%s joins %v, want two families", a.ID(), family)
		}
		if instant(t, text(a, "start")).After(day) {
			coming++
		} else {
			past++
		}
	}
	if past != 1 || coming != 1 {
		t.Errorf("%d past and %d coming group visits, want one of each", past, coming)
	}
}

func TestTheCalendarHolds(t *testing.T) {
	s := generate(t, records.Options{Seed: 2, Patients: 110, Now: day})
	slots := map[string]string{}
	count := map[string]int{}
	for _, slot := range s.ofType("Slot") {
		start := instant(t, text(slot, "start"))
		key := text(slot, "schedule", "reference") + " " + start.UTC().String()
		if other := slots[key]; other != "" {
			t.Errorf("%s and %s are at the same time", slot.ID(), other)
		}
		slots[key] = slot.ID()
		if weekday := start.Weekday(); weekday == time.Saturday || weekday == time.Sunday {
			t.Errorf("%s is on a %s", slot.ID(), weekday)
		}
		switch date := start.Format("01-02"); date {
		case "01-01", "07-04", "12-25":
			t.Errorf("%s is on a holiday, %s", slot.ID(), date)
		}
		when := "past "
		if start.After(day) {
			when = "coming "
		}
		count[when+text(slot, "status")]++
	}
	for _, want := range []string{"past busy", "past free", "coming busy", "coming free"} {
		if count[want] == 0 {
			t.Errorf("no %s slot", want)
		}
	}
	taken := map[string]string{}
	for _, a := range s.ofType("Appointment") {
		start, status := instant(t, text(a, "start")), text(a, "status")
		if future := start.After(day); future != slices.Contains([]string{"booked", "pending"}, status) {
			t.Errorf("%s is %s on %s", a.ID(), status, start)
		}
		count["appointment "+status]++
		slot := text(a, "slot", "reference")
		if slot == "" {
			continue
		}
		if taken[slot] != "" {
			t.Errorf("%s and %s take one slot", a.ID(), taken[slot])
		}
		taken[slot] = a.ID()
		if text(s.byRef[slot], "status") == "free" || text(s.byRef[slot], "start") != text(a, "start") {
			t.Errorf("%s: its slot is free or at another time", a.ID())
		}
	}
	for _, want := range []string{"booked", "pending", "fulfilled", "cancelled", "noshow"} {
		if count["appointment "+want] == 0 {
			t.Errorf("no appointment is %s", want)
		}
	}
}

func TestMessagesAnswerEachOther(t *testing.T) {
	s := generate(t, records.Options{Seed: 1, Patients: 20, Now: day})
	threads, answers := 0, 0
	for _, m := range s.ofType("Communication") {
		if text(m, "payload", "contentString") == "" || text(m, "sender", "reference") == "" || text(m, "recipient", "reference") == "" {
			t.Errorf("%s lacks sender, recipient or text", m.ID())
		}
		if strings.Contains(text(m, "payload", "contentString"), "{") {
			t.Errorf("%s has a blank that was not filled in", m.ID())
		}
		before := s.byRef[text(m, "inResponseTo", "reference")]
		if before == nil {
			threads++
			continue
		}
		answers++
		if !instant(t, text(m, "sent")).After(instant(t, text(before, "sent"))) {
			t.Errorf("%s was sent before what it answers", m.ID())
		}
		if text(m, "sender", "reference") != text(before, "recipient", "reference") || text(m, "subject", "reference") != text(before, "subject", "reference") {
			t.Errorf("%s answers somebody else's message", m.ID())
		}
	}
	if threads < 15 || answers < 20 {
		t.Errorf("%d threads and %d answers, want more", threads, answers)
	}
}

type reading struct {
	at    time.Time
	value float64
}

func (s set) series(t *testing.T, patient, code string) []reading {
	t.Helper()
	var out []reading
	for _, o := range s.ofType("Observation") {
		if text(o, "subject", "reference") != patient || !slices.Contains(texts(o, "code", "coding", "code"), code) {
			continue
		}
		v, err := strconv.ParseFloat(text(o, "valueQuantity", "value"), 64)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, reading{instant(t, text(o, "effectiveDateTime")), v})
	}
	slices.SortFunc(out, func(a, b reading) int { return a.at.Compare(b.at) })
	return out
}

func TestAliceHasTenYearsOfDiabetesComingUnderControl(t *testing.T) {
	for seed := range uint64(5) {
		s := generate(t, records.Options{Seed: seed, Patients: 1, Now: day})
		a1c := s.series(t, "Patient/p-00001", "4548-4")
		if len(a1c) < 20 || a1c[len(a1c)-1].at.Sub(a1c[0].at) < 8*365*24*time.Hour {
			t.Fatalf("seed %d: %d values of HbA1c, want 20 over 8 years", seed, len(a1c))
		}
		peak := slices.MaxFunc(a1c, func(a, b reading) int { return cmp.Compare(a.value, b.value) })
		last := a1c[len(a1c)-1]
		if peak.value < 8 || peak.value > 12 || last.value < 6 || last.value > peak.value-0.8 || last.at.Sub(peak.at) < 5*365*24*time.Hour {
			t.Errorf("seed %d: HbA1c peaks at %.1f in %d and ends at %.1f", seed, peak.value, peak.at.Year(), last.value)
		}
		egfr := s.series(t, "Patient/p-00001", "98979-8")
		if first, last := egfr[0].value, egfr[len(egfr)-1].value; first < 65 || last > first-10 || last < 25 {
			t.Errorf("seed %d: eGFR goes from %.0f to %.0f, want a decline", seed, first, last)
		}
	}
}

func TestInterpretationsAgreeWithTheRanges(t *testing.T) {
	s := generate(t, records.Options{Seed: 3, Patients: 60, Now: day})
	number := func(n fhir.Node, fallback float64) float64 {
		if v, err := strconv.ParseFloat(n.Text(), 64); err == nil {
			return v
		}
		return fallback
	}
	count := map[string]int{}
	for _, o := range s.ofType("Observation") {
		q := o.Root().Get("valueQuantity")
		if text(o, "category", "coding", "code") != "laboratory" || !q.Exists() {
			continue
		}
		var low, high float64
		for r := range o.Root().At("referenceRange") {
			low, high = number(r.Get("low").Get("value"), -1), number(r.Get("high").Get("value"), 1e9)
		}
		value, want := number(q.Get("value"), 0), "N"
		if value < low {
			want = "L"
		} else if value > high {
			want = "H"
		}
		got := text(o, "interpretation", "coding", "code")
		count[got]++
		if got != want {
			t.Errorf("%s: %v of %v to %v is called %s", o.ID(), value, low, high, got)
		}
		if value <= 0 {
			t.Errorf("%s has the value %v", o.ID(), value)
		}
	}
	if total := count["N"] + count["H"] + count["L"]; count["N"]*3 < total*2 || count["H"] == 0 || count["L"] == 0 {
		t.Errorf("normal %d, high %d, low %d: not believable", count["N"], count["H"], count["L"])
	}
}

func TestChildrenGrowAndKeepTheirPlaceAmongPeers(t *testing.T) {
	s := generate(t, records.Options{Seed: 8, Patients: 60, Now: day})
	checked := 0
	for _, p := range s.ofType("Patient") {
		if day.Sub(instant(t, text(p, "birthDate"))) > 12*365*24*time.Hour {
			continue
		}
		heights := s.series(t, "Patient/"+p.ID(), "8302-2")
		for i := 1; i < len(heights); i++ {
			checked++
			if heights[i].value < heights[i-1].value {
				t.Errorf("%s shrinks", p.ID())
			}
		}
		for _, code := range []string{"8289-1", "77606-2", "59576-9"} {
			for _, r := range s.series(t, "Patient/"+p.ID(), code) {
				if r.value < 0 || r.value > 100 {
					t.Errorf("%s: percentile %v", p.ID(), r.value)
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d heights compared", checked)
	}
}

func TestWalterTakesManyMedicinesAndHasAnImplant(t *testing.T) {
	s := generate(t, records.Options{Seed: 1, Patients: 10, Now: day})
	self := s.person(t, "walter").FHIRUser[0]
	active, devices := 0, 0
	for _, r := range s.ofType("MedicationRequest") {
		if text(r, "subject", "reference") == self && text(r, "status") == "active" {
			active++
		}
	}
	for _, r := range s.ofType("Device") {
		if text(r, "patient", "reference") == self {
			devices++
		}
	}
	if active < 10 || devices != 1 {
		t.Errorf("%d active medications and %d devices, want 10 or more and 1", active, devices)
	}
}
