package search

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// span is a stretch of time: from is its first instant, to the first one after
// it. An open end reaches as far as time does.
type span struct {
	from, to         time.Time
	openFrom, openTo bool
}

var errDate = errors.New("is not a FHIR date or time (in a URL, the + of a time zone is written %2B)")

// parseDate reads a date, dateTime or instant as the span it covers: 2013 is
// the whole year, 10:00 the whole minute (R4 search, 3.1.1.4.7). What names no
// time zone is read as UTC.
func parseDate(s string) (span, error) {
	date, clock, timed := strings.Cut(s, "T")
	if timed && len(date) != 10 {
		return span{}, errDate
	}
	var from time.Time
	var err error
	switch len(date) {
	case 4:
		from, err = time.Parse("2006", date)
		if err == nil {
			return span{from: from, to: from.AddDate(1, 0, 0)}, nil
		}
	case 7:
		from, err = time.Parse("2006-01", date)
		if err == nil {
			return span{from: from, to: from.AddDate(0, 1, 0)}, nil
		}
	case 10:
		from, err = time.Parse("2006-01-02", date)
		if err == nil && !timed {
			return span{from: from, to: from.AddDate(0, 0, 1)}, nil
		}
	default:
		return span{}, errDate
	}
	if err != nil {
		return span{}, errDate
	}
	return parseClock(from, clock)
}

// parseClock adds hh:mm[:ss[.fraction]][zone] to a day.
func parseClock(day time.Time, s string) (span, error) {
	clock, offset, err := cutZone(s)
	if err != nil {
		return span{}, err
	}
	clock, fraction, hasFraction := strings.Cut(clock, ".")
	var hour, minute, second int
	ok := len(clock) == 5 || len(clock) == 8
	ok = ok && digits(clock[:2], 23, &hour) && clock[2] == ':' && digits(clock[3:5], 59, &minute)
	if !ok {
		return span{}, errDate
	}
	precision := time.Minute
	if len(clock) == 8 {
		if clock[5] != ':' || !digits(clock[6:], 60, &second) { // 60: a leap second
			return span{}, errDate
		}
		precision = time.Second
	}
	from := day.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second - offset)
	if !hasFraction {
		return span{from: from, to: from.Add(precision)}, nil
	}
	if precision != time.Second || fraction == "" || countDigits(fraction) != len(fraction) {
		return span{}, errDate
	}
	written := min(len(fraction), 9) // nobody asks below a nanosecond
	nanos, err := strconv.Atoi((fraction + "000000000")[:9])
	if err != nil {
		return span{}, errDate
	}
	for precision = time.Nanosecond; written < 9; written++ {
		precision *= 10
	}
	from = from.Add(time.Duration(nanos))
	return span{from: from, to: from.Add(precision)}, nil
}

func countDigits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// cutZone takes Z or ±hh:mm off the end.
func cutZone(s string) (clock string, offset time.Duration, err error) {
	if clock, ok := strings.CutSuffix(s, "Z"); ok {
		return clock, 0, nil
	}
	i := strings.LastIndexAny(s, "+-")
	if i < 0 {
		return s, 0, nil
	}
	zone := s[i+1:]
	var hour, minute int
	if len(zone) != 5 || zone[2] != ':' || !digits(zone[:2], 14, &hour) || !digits(zone[3:], 59, &minute) {
		return "", 0, errDate
	}
	offset = time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
	if s[i] == '-' {
		offset = -offset
	}
	return s[:i], offset, nil
}

// digits reads a number of digits only, at most limit.
func digits(s string, limit int, into *int) bool {
	if countDigits(s) != len(s) {
		return false
	}
	n, err := strconv.Atoi(s)
	*into = n
	return err == nil && n <= limit
}

// beyond says whether t ends after s does.
func (t span) beyond(s span) bool { return t.openTo || t.to.After(s.to) }

// before says whether t begins before s does.
func (t span) before(s span) bool { return t.openFrom || t.from.Before(s.from) }

func (t span) overlaps(s span) bool {
	return (t.openFrom || t.from.Before(s.to)) && (t.openTo || s.from.Before(t.to))
}

// compare asks whether a resource's time t satisfies the searched s (R4 search,
// 3.1.1.4.5 and 3.1.1.4.7). s has no open end.
func (t span) compare(p prefix, s span, now time.Time) bool {
	within := !t.before(s) && !t.beyond(s)
	switch p {
	case eq:
		return within
	case ne:
		return !within
	case gt:
		return t.beyond(s)
	case lt:
		return t.before(s)
	case ge:
		return within || t.beyond(s)
	case le:
		return within || t.before(s)
	case sa:
		return !t.openFrom && !t.from.Before(s.to)
	case eb:
		return !t.openTo && !t.to.After(s.from)
	}
	// ap: a tenth of the gap between now and the date, on both sides.
	gap := now.Sub(s.from).Abs() / 10
	return t.overlaps(span{from: s.from.Add(-gap), to: s.to.Add(gap)})
}
