package layer

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Rules is a map of the module and what follows from it.
type Rules struct {
	Layers    []Layer     // from the bottom up
	Peers     []Edge      // the imports allowed within one layer
	Forbidden []Forbidden // beyond the order of the layers
	MaxLines  int         // of a file
	Long      []Long      // files that may be longer
	Together  []Together
}

// Layer is a set of packages that may import every layer below theirs.
type Layer struct {
	Name     string
	Packages []string // folders; "dir/**" is the folder and everything below it
}

// Edge is an allowed import within a layer.
type Edge struct{ From, To, Why string }

// Forbidden is an import that the order of the layers does not rule out.
type Forbidden struct {
	Who    string   // pattern of importing folders
	Except []string // patterns of importing folders this does not bind
	What   string   // pattern of the module's own folders, or a path outside it
	// Through says that packages of the module in between do not help.
	Through bool
	// Tests says that test files are bound as well.
	Tests bool
	Why   string
}

// Long is a file that may be longer than the rest.
type Long struct{ File, Why string }

// Together bounds the code that one person has to read in one sitting.
type Together struct {
	Name  string
	Parts []string // folders (their own files) or files; tests do not count
	Max   int      // lines
	Why   string
}

// Check gives every way in which the tree breaks the rules, sorted.
func (r Rules) Check(t *Tree) []string {
	c := &checker{rules: r, tree: t, level: map[string]int{}}
	c.assign()
	for _, pkg := range slices.Sorted(maps.Keys(t.Packages)) {
		c.order(t.Packages[pkg])
		c.forbidden(t.Packages[pkg])
		c.shape(t.Packages[pkg])
	}
	c.stale()
	c.together()
	slices.Sort(c.found)
	return slices.Compact(c.found)
}

type checker struct {
	rules Rules
	tree  *Tree
	level map[string]int
	found []string
}

func (c *checker) report(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

// assign finds the layer of every package: exactly one each.
func (c *checker) assign() {
	for pkg := range c.tree.Packages {
		var names []string
		for i, l := range c.rules.Layers {
			for _, pattern := range l.Packages {
				if matches(pattern, pkg) {
					c.level[pkg] = i
					names = append(names, l.Name)
				}
			}
		}
		switch {
		case len(names) == 0:
			c.report("%s: has no layer; give it one in internal/layer/rules.go", pkg)
		case len(names) > 1:
			c.report("%s: has several layers: %s", pkg, strings.Join(names, ", "))
		}
	}
}

// order checks that imports point down. Tests may look anywhere: they are not
// part of what runs.
func (c *checker) order(p *Package) {
	for _, f := range p.Files {
		if f.Test {
			continue
		}
		for _, imported := range f.Imports {
			to, own := c.tree.own(imported)
			if !own || to == p.Path {
				continue
			}
			from, known := c.level[p.Path]
			toLevel, toKnown := c.level[to]
			switch {
			case !known || !toKnown: // reported by assign
			case toLevel > from:
				c.report("%s: imports %s, which lies above it (%s is above %s)", f.Path, to,
					c.rules.Layers[toLevel].Name, c.rules.Layers[from].Name)
			case toLevel == from && !c.peer(p.Path, to):
				c.report("%s: imports %s of its own layer (%s) without a line in peers", f.Path, to,
					c.rules.Layers[from].Name)
			}
		}
	}
}

func (c *checker) peer(from, to string) bool {
	return slices.ContainsFunc(c.rules.Peers, func(e Edge) bool {
		return matches(e.From, from) && matches(e.To, to)
	})
}

func (c *checker) forbidden(p *Package) {
	for _, rule := range c.rules.Forbidden {
		if !matches(rule.Who, p.Path) || slices.ContainsFunc(rule.Except, func(e string) bool { return matches(e, p.Path) }) {
			continue
		}
		for _, f := range p.Files {
			if f.Test && !rule.Tests {
				continue
			}
			for _, imported := range f.Imports {
				if c.hits(rule, p.Path, imported) {
					c.report("%s: imports %s: %s", f.Path, imported, rule.Why)
				}
			}
		}
		if rule.Through {
			c.through(rule, p)
		}
	}
}

// hits says whether an import clause is one that the rule names. A package is
// never forbidden to its own tests.
func (c *checker) hits(rule Forbidden, importer, imported string) bool {
	to, own := c.tree.own(imported)
	if !own {
		return matches(rule.What, imported)
	}
	return to != importer && matches(rule.What, to)
}

func (c *checker) through(rule Forbidden, p *Package) {
	for at, chain := range c.tree.reach(p.Path) {
		if at == p.Path || c.tree.Packages[at] == nil {
			continue
		}
		for _, f := range c.tree.Packages[at].Files {
			for _, imported := range f.Imports {
				if !f.Test && c.hits(rule, p.Path, imported) {
					c.report("%s: imports %s through %s: %s", p.Path, imported, strings.Join(chain[1:], " and "), rule.Why)
				}
			}
		}
	}
}

func (c *checker) shape(p *Package) {
	for _, f := range p.Files {
		if f.Inits > 0 {
			c.report("%s: has an init function; wiring happens in cmd, in the open", f.Path)
		}
		long := slices.ContainsFunc(c.rules.Long, func(l Long) bool { return l.File == f.Path })
		if f.Lines > c.rules.MaxLines && !long {
			c.report("%s: has %d lines; %d at most, unless it is a table named in internal/layer/rules.go",
				f.Path, f.Lines, c.rules.MaxLines)
		}
	}
}

// stale finds lines of the rules that no longer say anything.
func (c *checker) stale() {
	exists := func(pattern string) bool {
		for pkg := range c.tree.Packages {
			if matches(pattern, pkg) {
				return true
			}
		}
		return false
	}
	for _, l := range c.rules.Layers {
		for _, pattern := range l.Packages {
			if !exists(pattern) {
				c.report("rules: layer %s names %s, which does not exist", l.Name, pattern)
			}
		}
	}
	for _, e := range c.rules.Peers {
		if !c.imports(e) {
			c.report("rules: peers allows %s to import %s, which it does not", e.From, e.To)
		}
	}
	for _, l := range c.rules.Long {
		if f := c.file(l.File); f == nil || f.Lines <= c.rules.MaxLines {
			c.report("rules: %s need not be named as a long file", l.File)
		}
	}
}

func (c *checker) imports(e Edge) bool {
	for pkg, p := range c.tree.Packages {
		if !matches(e.From, pkg) {
			continue
		}
		for _, f := range p.Files {
			for _, imported := range f.Imports {
				if to, own := c.tree.own(imported); own && !f.Test && to != pkg && matches(e.To, to) {
					return true
				}
			}
		}
	}
	return false
}

func (c *checker) file(name string) *File {
	for _, p := range c.tree.Packages {
		for i := range p.Files {
			if p.Files[i].Path == name {
				return &p.Files[i]
			}
		}
	}
	return nil
}

func (c *checker) together() {
	for _, bound := range c.rules.Together {
		sum := 0
		for _, part := range bound.Parts {
			lines, found := c.count(part)
			if !found {
				c.report("rules: %s counts %s, which does not exist", bound.Name, part)
			}
			sum += lines
		}
		if sum > bound.Max {
			c.report("%s: %d lines together, %d at most: %s", bound.Name, sum, bound.Max, bound.Why)
		}
	}
}

func (c *checker) count(part string) (lines int, found bool) {
	if f := c.file(part); f != nil {
		return f.Lines, true
	}
	p := c.tree.Packages[part]
	if p == nil {
		return 0, false
	}
	for _, f := range p.Files {
		if !f.Test {
			lines += f.Lines
		}
	}
	return lines, true
}

// matches compares a folder or import path with a pattern: the same; below it
// when the pattern ends in "/**"; anywhere with the last element ending so when
// it starts with "**/*". "**" is everything.
func matches(pattern, name string) bool {
	if pattern == "**" {
		return true
	}
	if end, ok := strings.CutPrefix(pattern, "**/*"); ok {
		return strings.HasSuffix(path.Base(name), end)
	}
	if base, ok := strings.CutSuffix(pattern, "/**"); ok {
		return name == base || strings.HasPrefix(name, base+"/")
	}
	return pattern == name
}
