package records

import (
	"fmt"
	"time"
)

// clinicSize is how many patients share a clinic, its doctors and their slots.
const clinicSize = 100

// clinic is a practice with three doctors and a nurse who teaches groups. It
// follows from its number alone, so any patient can work out its own.
type clinic struct {
	number  int
	key     string
	name    string
	town    town
	doctors [4]doctor // family, internal, children, educator
}

const (
	familyDoctor = iota
	internist
	childDoctor
	groupNurse
)

func (w *world) clinic(number int) *clinic {
	d := w.dice("clinic", number)
	cl := &clinic{number: number, key: fmt.Sprintf("c%03d", number+1), town: towns[number%len(towns)]}
	cl.name = clinicNames[number%len(clinicNames)]
	if again := number / len(clinicNames); again > 0 {
		cl.name = fmt.Sprintf("%s %d", cl.name, again+1)
	}
	kinds := [4]struct {
		suffix, credential string
		specialty, role    code
	}{
		{"fam", "MD", familyMedicine, generalPhysician},
		{"int", "MD", internalMedicine, generalPhysician},
		{"ped", "MD", pediatrics, pediatrician},
		{"edu", "RN", educator, nurse},
	}
	for i, k := range kinds {
		given := givenFemale
		if d.chance(0.5) {
			given = givenMale
		}
		cl.doctors[i] = doctor{
			key: cl.key + "-" + k.suffix, given: pick(d, given), family: pick(d, families), credential: k.credential,
			specialty: k.specialty, role: k.role, place: "loc-" + cl.key, npi: npi(1000 + number*4 + i),
		}
	}
	return cl
}

func (cl *clinic) location() reference { return reference{"Location/loc-" + cl.key, cl.name} }

// write gives the clinic's own resources, its schedules and their open slots.
func (cl *clinic) write(w *world) [][]byte {
	c := &chart{world: w, prefix: cl.key + "-"}
	at := w.today.AddDate(-11, 0, 0)
	c.location("loc-"+cl.key, cl.name, "OF", "Outpatient facility", fmt.Sprintf("%d %s", 10+cl.number*7%900, streets[cl.number%len(streets)]), cl.town, healthSystem, at)
	for _, d := range cl.doctors {
		c.practitioner(d, at)
	}
	services := []struct {
		key, name string
		kind      code
	}{
		{"visit", "Office visits", generalPractice},
		{"group", "Living with diabetes: group visits", code{terminology + "service-type", "313", "Diabetes Education"}},
	}
	for _, s := range services {
		c.add(entry{typ: "HealthcareService", id: "hs-" + cl.key + "-" + s.key, at: at}, obj{
			{"active", true},
			{"providedBy", healthSystem.json()},
			{"category", list{serviceCategory.concept()}},
			{"type", concepts(s.kind)},
			{"location", list{cl.location().json()}},
			{"name", s.name + ", " + cl.name},
			{"telecom", telecoms("520-555-0103", "", "work")},
			{"appointmentRequired", true},
			{"availableTime", list{obj{
				{"daysOfWeek", list{"mon", "tue", "wed", "thu", "fri"}},
				{"availableStartTime", "08:00:00"}, {"availableEndTime", "17:00:00"},
			}}},
		})
	}
	for i, d := range cl.doctors {
		c.schedule(cl, d, i)
	}
	c.provenance()
	return c.out
}

func (c *chart) schedule(cl *clinic, d doctor, which int) {
	w := c.world
	kind, service := generalPractice, "visit"
	if which == groupNurse {
		kind, service = code{terminology + "service-type", "313", "Diabetes Education"}, "group"
	}
	c.add(entry{typ: "Schedule", id: d.schedule(), at: w.today.AddDate(0, 0, -30)}, obj{
		{"active", true},
		{"serviceCategory", list{serviceCategory.concept()}},
		{"serviceType", concepts(kind)},
		{"specialty", concepts(d.specialty)},
		{"actor", list{d.ref().json(), cl.location().json(), ref("HealthcareService", "hs-"+cl.key+"-"+service)}},
		{"planningHorizon", period(w.past[pastDays-1], w.coming[comingDays-1].AddDate(0, 0, 1))},
		{"comment", d.ref().display},
	})
	if which == groupNurse {
		return // her slots are the group visits, written with the patients
	}
	dice := w.dice("slots", cl.number*4+which)
	for position := range openComing {
		if cell := position / comingWidth; cell < comingCells && position%comingWidth == w.jitter(cl, which, cell) {
			continue // kept for a patient of this clinic
		}
		start, _ := w.comingStart(position)
		c.slot(d, start, slotLength, dice.chance(0.55))
	}
	for position := range openPast {
		if cell := position / pastWidth; cell < pastCells && position%pastWidth == w.jitter(cl, which, -1-cell) {
			continue
		}
		start, _ := w.pastStart(position)
		c.slot(d, start, slotLength, dice.chance(0.1))
	}
}

func (c *chart) slot(d doctor, start time.Time, length time.Duration, free bool) string {
	id := slotID(d, start)
	status := "busy"
	if free {
		status = "free"
	}
	c.add(entry{typ: "Slot", id: id, at: c.world.today.AddDate(0, 0, -30)}, obj{
		{"serviceType", concepts(generalPractice)},
		{"schedule", ref("Schedule", d.schedule())},
		{"status", status},
		{"start", dateTime(start)},
		{"end", dateTime(start.Add(length))},
	})
	return id
}

func slotID(d doctor, start time.Time) string {
	return "slot-" + d.key + "-" + start.Format("0102-1504")
}
