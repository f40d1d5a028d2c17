package config

import "time"

func (l *Limits) fillIn() {
	if l.Concurrent == 0 {
		l.Concurrent = 1000
	}
	for _, b := range []*Budget{&l.PerApp, &l.PerPatient} {
		if b.Burst == 0 {
			b.Burst = b.PerSecond
		}
	}
}

func (c *Config) checkBudgets(r *report) {
	upTo(r, "limits.concurrent", c.Limits.Concurrent, 100000)
	for key, b := range map[string]Budget{"limits.per_app": c.Limits.PerApp, "limits.per_patient": c.Limits.PerPatient} {
		if b.PerSecond == 0 && b.Burst != 0 {
			r.add(key+".burst", "does nothing without per_second; add it or remove this")
		}
		upTo(r, key+".per_second", b.PerSecond, 1000000)
		upTo(r, key+".burst", b.Burst, 1000000)
	}
}

// fillIn sets the defaults of a source's limits.
func (l *SourceLimits) fillIn() {
	number := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	length := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	number(&l.Concurrent, 64)
	number(&l.PerApp, (3*l.Concurrent+3)/4)
	number(&l.Burst, l.PerSecond)
	number(&l.Attempts, 3)
	length(&l.Wait, 2*time.Second)
	length(&l.Total, 5*time.Minute)
	length(&l.OpenFor, 5*time.Second)
}

func checkSourceLimits(r *report, key string, s *Source) {
	l := s.Limits
	upTo(r, key+".concurrent", l.Concurrent, 10000)
	if l.PerApp > l.Concurrent {
		r.add(key+".concurrent_per_app", "is more than concurrent, %d, and would bound nothing; make it less, or the same to let one app have all", l.Concurrent)
	}
	upTo(r, key+".attempts", l.Attempts, 5)
	between(r, key+".wait", l.Wait, time.Millisecond, 30*time.Second)
	between(r, key+".total", l.Total, 10*time.Second, time.Hour)
	between(r, key+".open_for", l.OpenFor, time.Second, 10*time.Minute)
	if l.PerSecond == 0 && l.Burst != 0 {
		r.add(key+".burst", "does nothing without per_second; add it or remove this")
	}
	if l.HedgeAfter != 0 {
		between(r, key+".hedge_after", l.HedgeAfter, 50*time.Millisecond, time.Minute)
	}
	if l.Total < s.Timeout && s.Timeout <= 5*time.Minute {
		r.add(key+".total", "is shorter than timeout, so that nothing would ever wait so long; make it longer")
	}
}

// upTo reports a number that is too large; the reader refuses what is below 1.
func upTo(r *report, key string, v, most int) {
	if v > most {
		r.add(key, "must be between 1 and %d", most)
	}
}
