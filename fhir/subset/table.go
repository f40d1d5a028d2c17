package subset

import (
	_ "embed"
	"strings"
	"sync"
)

//go:embed r4.tsv
var r4Table string

// table is what R4 says of the elements of one type.
type table struct {
	always  map[string]bool   // mandatory, or changing the meaning of others
	summary map[string]bool   // by path
	parents map[string]bool   // paths of the summary below which only parts are
	choices map[string]string // valueQuantity -> value
}

// loaded parses the embedded table once.
var loaded = sync.OnceValue(func() map[string]*table {
	out := map[string]*table{}
	for line := range strings.SplitSeq(r4Table, "\n") {
		f := strings.Split(line, "\t")
		if line == "" || line[0] == '#' || len(f) != 4 {
			continue
		}
		t := &table{always: map[string]bool{}, summary: map[string]bool{}, parents: map[string]bool{}, choices: map[string]string{}}
		t.read(f[1], t.always)
		t.read(f[2], t.summary)
		t.read(f[3], map[string]bool{})
		for path := range t.summary {
			if i := strings.LastIndexByte(path, '.'); i > 0 {
				t.parents[path[:i]] = true
			}
		}
		out[f[0]] = t
	}
	return out
})

// find gives the table of a type; one of which nothing is known has nothing that
// stays but what stays everywhere.
func find(typ string) *table {
	if t := loaded()[typ]; t != nil {
		return t
	}
	return &table{}
}

// read adds the elements of a list, choices by each of their names.
func (t *table) read(list string, into map[string]bool) {
	for _, one := range strings.Split(list, ",") {
		path, types, choice := strings.Cut(strings.TrimSuffix(one, "]"), "[")
		switch {
		case one == "":
		case !choice:
			into[path] = true
		default:
			for _, typ := range strings.Split(types, " ") {
				into[path+typ] = true
				t.choices[path+typ] = path
			}
		}
	}
}
