// Package records makes up the people of the demo and their records: any number
// of synthetic patients with years of FHIR R4 data, the same bytes for the same
// seed, number and day. It owns what the sample data says and nothing of how it
// is served; it must not know the server, the provider or the gateway.
package records

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Options says what set to make.
type Options struct {
	Seed     uint64
	Patients int       // at least 1
	Now      time.Time // the day on which the set is true; later times of a day make no difference
	// Base is where the set will be served, for URLs that are written whole; ""
	// leaves them relative to wherever that is.
	Base string
	// Progress, when set, is told now and then how many patients are done. It is
	// called from the goroutine that called Generate.
	Progress func(done, total int)
}

// jobSize is how many patients one worker makes before it hands them over.
const jobSize = 10

// job is a part of the set: what comes out of it, in order.
type job struct {
	write    func(w *world) [][]byte
	patients int
	done     chan [][]byte
}

// Generate makes a set and hands every resource to emit, in a fixed order, from
// the calling goroutine; emit may keep raw. A patient's resources do not depend
// on how many patients there are. An error of emit ends the work and is returned.
func Generate(o Options, emit func(raw []byte) error) (*Cast, error) {
	switch {
	case o.Patients < 1:
		return nil, fmt.Errorf("records: %d patients asked for; at least 1 is needed", o.Patients)
	case o.Now.IsZero():
		return nil, errors.New("records: no day given (Options.Now)")
	case emit == nil:
		return nil, errors.New("records: nowhere to put the resources (emit)")
	}
	w := newWorld(o)
	var workers sync.WaitGroup
	stop, queue, order := make(chan struct{}), make(chan job), make(chan job, 4*runtime.GOMAXPROCS(0))
	defer workers.Wait()
	defer close(stop)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for j := range queue {
				j.done <- j.write(w)
			}
		})
	}
	workers.Go(func() {
		defer close(order)
		defer close(queue)
		for j := range jobs(o.Patients) {
			select { // order first: its buffer bounds what is made ahead
			case order <- j:
			case <-stop:
				return
			}
			select {
			case queue <- j:
			case <-stop:
				return
			}
		}
	})
	if err := collect(o, order, emit); err != nil {
		return nil, err
	}
	all := cast(o.Patients)
	all.Clinicians = []Person{clinician(w)}
	return all, nil
}

func collect(o Options, order <-chan job, emit func([]byte) error) error {
	done := 0
	for j := range order {
		for _, raw := range <-j.done {
			if err := emit(raw); err != nil {
				return fmt.Errorf("records: %w", err)
			}
		}
		done += j.patients
		if o.Progress != nil && j.patients > 0 && (done%(10*jobSize) == 0 || done == o.Patients) {
			o.Progress(done, o.Patients)
		}
	}
	return nil
}

// jobs gives the parts of a set in order: the directory, then clinic by clinic.
func jobs(patients int) func(yield func(job) bool) {
	return func(yield func(job) bool) {
		part := func(n int, f func(w *world) [][]byte) bool {
			return yield(job{f, n, make(chan [][]byte, 1)})
		}
		if !part(0, directory) {
			return
		}
		for first := 0; first < patients; first += jobSize {
			if number := first / clinicSize; first%clinicSize == 0 {
				if !part(0, func(w *world) [][]byte { return w.clinic(number).write(w) }) {
					return
				}
			}
			last := min(first+jobSize, patients)
			more := part(last-first, func(w *world) [][]byte {
				var out [][]byte
				for i := first; i < last; i++ {
					out = append(out, w.patient(i)...)
				}
				return out
			})
			if !more {
				return
			}
		}
	}
}
