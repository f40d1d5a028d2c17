package patch

import (
	"slices"
	"strconv"
	"strings"

	"github.com/portico-fhir/portico/fhir"
)

// equal compares as RFC 6902 §4.6 says: strings by their characters, numbers by
// their value, arrays item by item, objects whatever the order of their members.
func equal(a, b fhir.Node) bool {
	switch {
	case a.IsObject() && b.IsObject():
		members := slices.Collect(a.Children())
		if len(members) != len(slices.Collect(b.Children())) {
			return false
		}
		for _, m := range members {
			other := b.Get(m.Name())
			if !other.Exists() || !equal(m, other) {
				return false
			}
		}
		return true
	case a.IsArray() && b.IsArray():
		return slices.EqualFunc(slices.Collect(a.Children()), slices.Collect(b.Children()), equal)
	case a.IsString() && b.IsString():
		return a.Text() == b.Text()
	case a.IsNumber() && b.IsNumber():
		return number(a.Text()) == number(b.Text())
	case a.IsObject() || b.IsObject() || a.IsArray() || b.IsArray() || a.IsString() || b.IsString() || a.IsNumber() || b.IsNumber():
		return false
	}
	return string(a.Raw()) == string(b.Raw()) // true, false, null
}

// number gives the same text for every way to write a number: its digits
// without zeros at either end and the power of ten of the last one. It does not
// calculate, so that no exponent can be too large.
func number(s string) string {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(s), "e")
	sign := ""
	if rest, negative := strings.CutPrefix(mantissa, "-"); negative {
		sign, mantissa = "-", rest
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "0"
	}
	trimmed := strings.TrimRight(digits, "0")
	power := 0
	if exponent != "" {
		var err error
		if power, err = strconv.Atoi(exponent); err != nil || power > 1<<30 || power < -1<<30 {
			return s
		}
	}
	return sign + trimmed + "e" + strconv.Itoa(power-len(fraction)+len(digits)-len(trimmed))
}
