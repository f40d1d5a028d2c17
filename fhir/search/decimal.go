package search

import (
	"errors"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

var errNumber = errors.New("is not a number")

// decimalForm bounds what is ever handed to big.Rat: an exponent of nine digits
// would be a gigabyte.
var decimalForm = regexp.MustCompile(`^[+-]?(\d{1,64})(?:\.(\d{1,64}))?(?:[eE]([+-]?\d{1,2}))?$`)

// decimal is an exact number with the precision it was written in.
type decimal struct {
	value *big.Rat
	half  *big.Rat // half a unit of the last digit written: 100 is 99.5 to 100.5
}

func parseDecimal(s string) (decimal, error) {
	m := decimalForm.FindStringSubmatch(s)
	if m == nil {
		return decimal{}, errNumber
	}
	v, ok := new(big.Rat).SetString(strings.TrimPrefix(s, "+"))
	if !ok {
		return decimal{}, errNumber
	}
	exponent, _ := strconv.Atoi(m[3]) // "" is 0
	if m[3] != "" && m[2] == "" && len(m[1]) == 1 {
		exponent-- // R4 3.1.1.4.8 gives 1e2 as 95 to 105
	}
	unit, ok := new(big.Rat).SetString("5e" + strconv.Itoa(exponent-len(m[2])-1))
	if !ok {
		return decimal{}, errNumber
	}
	return decimal{value: v, half: unit}, nil
}

// interval is a range of numbers; nil means unbounded. A plain number is one
// where both ends are that number.
type interval struct {
	low, high         *big.Rat
	lowOpen, highOpen bool // the end itself does not belong
}

func exactly(v *big.Rat) interval { return interval{low: v, high: v} }

// compare asks whether a resource's t satisfies the searched number s. For eq
// and ne the searched number is as precise as it was written, else it is exact
// (R4 search, 3.1.1.4.8).
func (t interval) compare(p prefix, s decimal) bool {
	switch p {
	case eq, ne:
		within := t.within(new(big.Rat).Sub(s.value, s.half), new(big.Rat).Add(s.value, s.half))
		return within == (p == eq)
	case gt:
		return t.high == nil || t.high.Cmp(s.value) > 0
	case lt:
		return t.low == nil || t.low.Cmp(s.value) < 0
	case ge:
		return t.high == nil || t.high.Cmp(s.value) > 0 || t.high.Cmp(s.value) == 0 && !t.highOpen
	case le:
		return t.low == nil || t.low.Cmp(s.value) < 0 || t.low.Cmp(s.value) == 0 && !t.lowOpen
	case sa:
		return t.low != nil && (t.low.Cmp(s.value) > 0 || t.low.Cmp(s.value) == 0 && t.lowOpen)
	case eb:
		return t.high != nil && (t.high.Cmp(s.value) < 0 || t.high.Cmp(s.value) == 0 && t.highOpen)
	}
	// ap: within a tenth of the number.
	tenth := new(big.Rat).Quo(new(big.Rat).Abs(s.value), big.NewRat(10, 1))
	low, high := new(big.Rat).Sub(s.value, tenth), new(big.Rat).Add(s.value, tenth)
	return (t.high == nil || t.high.Cmp(low) >= 0) && (t.low == nil || t.low.Cmp(high) <= 0)
}

// within says whether t lies in [low, high).
func (t interval) within(low, high *big.Rat) bool {
	if t.low == nil || t.high == nil || t.low.Cmp(low) < 0 {
		return false
	}
	return t.high.Cmp(high) < 0 || t.high.Cmp(high) == 0 && t.highOpen
}
