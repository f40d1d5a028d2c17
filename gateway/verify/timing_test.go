package verify

import (
	"testing"
	"time"
)

func TestOnlyASteadyDifferenceOfTimesCounts(t *testing.T) {
	const ms = time.Millisecond
	twenty := func(of func(i int) pair) []pair {
		out := make([]pair, 20)
		for i := range out {
			out[i] = of(i)
		}
		return out
	}
	for name, tt := range map[string]struct {
		pairs []pair
		want  bool
	}{
		"always two more":            {twenty(func(int) pair { return pair{7 * ms, 5 * ms} }), true},
		"always two less":            {twenty(func(int) pair { return pair{5 * ms, 7 * ms} }), true},
		"more, once less":            {twenty(func(i int) pair { return pair{time.Duration(7-5*(i/19)) * ms, 5 * ms} }), true},
		"the same":                   {twenty(func(int) pair { return pair{5 * ms, 5 * ms} }), false},
		"now more, now less":         {twenty(func(i int) pair { return pair{time.Duration(3+4*(i%2)) * ms, 5 * ms} }), false},
		"one outlier":                {twenty(func(i int) pair { return pair{time.Duration(5+900*(i/19)) * ms, 5 * ms} }), false},
		"steady but too small":       {twenty(func(int) pair { return pair{5*ms + 90*time.Microsecond, 5 * ms} }), false},
		"small beside what it takes": {twenty(func(int) pair { return pair{502 * ms, 500 * ms} }), false},
		"too few to tell":            {twenty(func(int) pair { return pair{7 * ms, 5 * ms} })[:12], false},
		"none":                       {nil, false},
	} {
		if by, got := difference(tt.pairs); got != tt.want {
			t.Errorf("%s: %v, %v", name, by, got)
		}
	}
}
