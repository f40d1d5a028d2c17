package layer_test

import (
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/internal/layer"
)

// TestTheMapForReadersNamesEveryPackageInItsLayer holds docs/architecture.md to the
// rules: a row for each layer, from the top, that names what is in it and nothing
// that is not there.
func TestTheMapForReadersNamesEveryPackageInItsLayer(t *testing.T) {
	tree, err := layer.Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	order, rows := mapRows(content(t, "docs/architecture.md"))
	var anywhere, layers []string
	placed := map[string]bool{}
	for _, l := range slices.Backward(layer.Portico().Layers) {
		layers = append(layers, l.Name)
		anywhere = append(anywhere, rows[l.Name]...)
		for _, pkg := range l.Packages {
			placed[pkg] = true
			if !strings.Contains(pkg, "*") && !named(rows[l.Name], pkg) {
				t.Errorf("the row %q does not name %s", l.Name, pkg)
			}
		}
	}
	if !slices.Equal(order, layers) {
		t.Errorf("the rows are %q and the layers %q", order, layers)
	}
	for _, pkg := range slices.Sorted(maps.Keys(tree.Packages)) {
		if !placed[pkg] && !named(anywhere, pkg) {
			t.Errorf("no row names %s", pkg)
		}
	}
	for _, name := range anywhere {
		if !strings.Contains(name, "/") || strings.HasPrefix(name, "…") {
			continue
		}
		if there, err := filepath.Glob("../../" + name); err != nil || len(there) == 0 {
			t.Errorf("a row names %s, which is not there", name)
		}
	}
}

var (
	mapRow = regexp.MustCompile(`(?m)^\| ([a-z ]+) \| (.*) \|$`)
	quoted = regexp.MustCompile("`([^`]+)`")
)

// mapRows gives what the rows of the last table name in backquotes, by layer.
func mapRows(page string) (order []string, rows map[string][]string) {
	_, table, _ := strings.Cut(page, "\n## The map\n")
	rows = map[string][]string{}
	for _, row := range mapRow.FindAllStringSubmatch(table, -1) {
		if row[1] == "layer" {
			continue
		}
		order = append(order, row[1])
		for _, name := range quoted.FindAllStringSubmatch(row[2], -1) {
			rows[row[1]] = append(rows[row[1]], spelled(name[1])...)
		}
	}
	return order, rows
}

// spelled writes out a/{b,c}.
func spelled(name string) (names []string) {
	before, rest, some := strings.Cut(name, "{")
	if !some {
		return []string{name}
	}
	for one := range strings.SplitSeq(strings.TrimSuffix(rest, "}"), ",") {
		names = append(names, before+one)
	}
	return names
}

// named says whether one of the names is a package's: its path, a pattern for it, or
// its last element.
func named(names []string, pkg string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		if suffix, ok := strings.CutPrefix(name, "…/*"); ok {
			return strings.HasSuffix(pkg, suffix)
		}
		fits, err := path.Match(name, pkg)
		return fits && err == nil || name == path.Base(pkg)
	})
}
