package records

import "time"

// The appointment grid. A doctor has sixteen half hours on a working day. Some
// of them are kept for the patients of the clinic, each patient's worked out
// from its own number, so that no two patients meet in one slot and none needs
// to know of the others. What is not kept is written as open slots.

var (
	serviceCategory = code{terminology + "service-category", "17", "General Practice"}
	generalPractice = code{terminology + "service-type", "124", "General Practice"}
)

const (
	slotLength  = 30 * time.Minute
	slotsPerDay = 16
	ranks       = 70 // patients of one doctor at most, see rank
	perPatient  = 3  // appointments to come, at most

	comingCells = ranks * perPatient
	comingWidth = comingDays * slotsPerDay / comingCells
	pastCells   = ranks
	pastWidth   = pastDays * slotsPerDay / pastCells

	openComing = 20 * slotsPerDay // open slots are published for four weeks
	openPast   = 5 * slotsPerDay  // and kept for one
)

func (w *world) comingStart(position int) (time.Time, bool) {
	day := position / slotsPerDay
	if day >= comingDays {
		return time.Time{}, false
	}
	return w.coming[day].Add(timeOfDay(position % slotsPerDay)), true
}

func (w *world) pastStart(position int) (time.Time, bool) {
	day := position / slotsPerDay
	if day >= pastDays {
		return time.Time{}, false
	}
	return w.past[day].Add(timeOfDay(position % slotsPerDay)), true
}

// timeOfDay runs from 8:00 to 12:00 and from 13:00 to 17:00.
func timeOfDay(n int) time.Duration {
	if n >= 8 {
		n += 2
	}
	return 8*time.Hour + time.Duration(n)*slotLength
}

// jitter says which of a cell's positions is the kept one.
func (w *world) jitter(cl *clinic, which, cell int) int {
	n := w.dice("jitter", (cl.number*4+which)*1000+cell).IntN(1 << 16)
	if cell < 0 {
		return n % pastWidth
	}
	return n % comingWidth
}

// comingSlot gives the time kept for a patient's n-th coming appointment. The
// factor is coprime to the number of cells, so cells spread without meeting.
func (w *world) comingSlot(p *plan, n int) time.Time {
	cell := ((p.rank*perPatient+n)*97 + 31) % comingCells
	start, _ := w.comingStart(cell*comingWidth + w.jitter(p.clinic, p.doctorIndex, cell))
	return start
}

// recentSlot gives the time kept for a patient's one visit of the last weeks.
func (w *world) recentSlot(p *plan) time.Time {
	cell := (p.rank*37 + 11) % pastCells
	start, _ := w.pastStart(cell*pastWidth + w.jitter(p.clinic, p.doctorIndex, -1-cell))
	return start
}

// groupVisits gives the times of a block's two group visits: one past, one coming.
func (w *world) groupVisits(block int) (past, coming time.Time) {
	b := block % (clinicSize / blockSize)
	return w.past[1+b].Add(14 * time.Hour), w.coming[2+b*3].Add(14 * time.Hour)
}
