package records_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/internal/demo/records"
)

var day = time.Date(2026, 3, 17, 15, 4, 5, 0, time.UTC)

// set is one generated set, parsed.
type set struct {
	cast  *records.Cast
	raw   [][]byte
	all   []*fhir.Resource
	byRef map[string]*fhir.Resource
}

func generate(t testing.TB, o records.Options) set {
	t.Helper()
	s := set{byRef: map[string]*fhir.Resource{}}
	cast, err := records.Generate(o, func(raw []byte) error {
		s.raw = append(s.raw, raw)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.cast = cast
	for _, raw := range s.raw {
		r, err := fhir.ParseResource(raw)
		if err != nil {
			t.Fatalf("%v in %.200s", err, raw)
		}
		if !fhir.ValidID(r.ID()) {
			t.Errorf("%s has the id %q, which is not valid", r.Type(), r.ID())
		}
		key := r.Type() + "/" + r.ID()
		if s.byRef[key] != nil {
			t.Errorf("%s is there twice", key)
		}
		s.byRef[key] = r
		s.all = append(s.all, r)
	}
	return s
}

func (s set) ofType(typ string) []*fhir.Resource {
	return slices.DeleteFunc(slices.Clone(s.all), func(r *fhir.Resource) bool { return r.Type() != typ })
}

func digest(raw [][]byte) string {
	return fmt.Sprintf("%x", sha256.Sum256(bytes.Join(raw, []byte("\n"))))
}

func TestImpossibleOptionsAreRefused(t *testing.T) {
	drop := func([]byte) error { return nil }
	for name, o := range map[string]records.Options{
		"no patients":       {Now: day},
		"negative patients": {Now: day, Patients: -1},
		"no day":            {Patients: 1},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := records.Generate(o, drop); err == nil {
				t.Error("accepted")
			}
		})
	}
	if _, err := records.Generate(records.Options{Patients: 1, Now: day}, nil); err == nil {
		t.Error("no emit: accepted")
	}
}

func TestAnErrorOfEmitEndsTheWork(t *testing.T) {
	full := errors.New("full")
	calls := 0
	_, err := records.Generate(records.Options{Patients: 500, Now: day}, func([]byte) error {
		if calls++; calls == 2000 {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) || calls != 2000 {
		t.Errorf("got %v after %d calls, want the error of emit after 2000", err, calls)
	}
}

func TestSameSeedPatientsAndDayGiveTheSameBytes(t *testing.T) {
	o := records.Options{Seed: 7, Patients: 25, Now: day}
	first := digest(generate(t, o).raw)
	later := o
	later.Now = day.Add(90 * time.Minute)
	if digest(generate(t, later).raw) != first {
		t.Error("another hour of the same day gives other bytes")
	}
	for name, other := range map[string]records.Options{
		"seed": {Seed: 8, Patients: 25, Now: day},
		"day":  {Seed: 7, Patients: 25, Now: day.AddDate(0, 0, 1)},
	} {
		if digest(generate(t, other).raw) == first {
			t.Errorf("another %s gives the same bytes", name)
		}
	}
}

func TestAPatientDoesNotDependOnHowManyThereAre(t *testing.T) {
	large := generate(t, records.Options{Seed: 3, Patients: 115, Now: day})
	for _, n := range []int{1, 9, 10, 37, 101} {
		small := generate(t, records.Options{Seed: 3, Patients: n, Now: day})
		if digest(small.raw) != digest(large.raw[:len(small.raw)]) {
			t.Errorf("%d patients are not the beginning of 115", n)
		}
	}
}

func TestProgressIsToldUpToTheEnd(t *testing.T) {
	var told []int
	o := records.Options{Patients: 250, Now: day, Progress: func(done, total int) {
		if total != 250 {
			t.Errorf("total %d, want 250", total)
		}
		told = append(told, done)
	}}
	generate(t, o)
	if !slices.Equal(told, []int{100, 200, 250}) {
		t.Errorf("told %v, want 100 200 250", told)
	}
}

func BenchmarkGenerate(b *testing.B) {
	for b.Loop() {
		resources, size := 0, 0
		_, err := records.Generate(records.Options{Seed: 1, Patients: 200, Now: day}, func(raw []byte) error {
			resources, size = resources+1, size+len(raw)
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(resources)/200, "resources/patient")
		b.ReportMetric(float64(size)/200/1024, "KiB/patient")
	}
	b.ReportMetric(200*float64(b.N)/b.Elapsed().Seconds(), "patients/s")
}
