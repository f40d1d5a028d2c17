package profiles

import (
	"embed"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

//go:embed *.yaml
var files embed.FS

// Default is the profile of a source that names none.
const Default = "generic"

const (
	maxFile     = 256 << 10 // bytes of a profile
	maxExtends  = 8         // profiles one above the other
	maxProfiles = 256
)

// Set is the profiles that there are, by name.
type Set struct{ byName map[string]*Profile }

// BuiltIn gives the profiles that come with Portico.
func BuiltIn() (*Set, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("profiles: %w", err)
	}
	raw := map[string][]byte{}
	for _, e := range entries {
		if raw[e.Name()], err = files.ReadFile(e.Name()); err != nil {
			return nil, fmt.Errorf("profiles: %w", err)
		}
	}
	return (&Set{}).With(raw)
}

// With gives the set with the profiles of further files, by file name, added. A
// profile may not have the name of one that is there.
func (s *Set) With(raw map[string][]byte) (*Set, error) {
	out := &Set{byName: maps.Clone(s.byName)}
	if out.byName == nil {
		out.byName = map[string]*Profile{}
	}
	parsed := map[string]*Profile{}
	for _, file := range slices.Sorted(maps.Keys(raw)) {
		p, err := Parse(raw[file])
		if err != nil {
			return nil, fmt.Errorf("profiles: %s: %w", path.Base(file), err)
		}
		if parsed[p.Name] != nil || out.byName[p.Name] != nil {
			return nil, fmt.Errorf("profiles: %s: there is a profile %q already; choose another name", path.Base(file), p.Name)
		}
		parsed[p.Name] = p
	}
	if len(parsed)+len(out.byName) > maxProfiles {
		return nil, errors.New("profiles: there are too many")
	}
	for _, name := range slices.Sorted(maps.Keys(parsed)) {
		whole, err := complete(parsed[name], parsed, out.byName, maxExtends)
		if err != nil {
			return nil, fmt.Errorf("profiles: %s: %w", name, err)
		}
		if err := whole.check(); err != nil {
			return nil, fmt.Errorf("profiles: %s: %w", name, err)
		}
		out.byName[name] = whole
	}
	return out, nil
}

// complete fills a profile from those it extends.
func complete(p *Profile, parsed, known map[string]*Profile, left int) (*Profile, error) {
	if p.Extends == "" {
		return p, nil
	}
	if left == 0 {
		return nil, errors.New("extends: goes round in a circle, or too far")
	}
	base := parsed[p.Extends]
	if base == nil {
		base = known[p.Extends]
	}
	if base == nil {
		return nil, fmt.Errorf("extends: there is no profile %q", p.Extends)
	}
	if parsed[p.Extends] == nil {
		return p.on(base), nil
	}
	base, err := complete(base, parsed, known, left-1)
	if err != nil {
		return nil, err
	}
	return p.on(base), nil
}

// Get gives a profile by its name; "" means Default.
func (s *Set) Get(name string) (*Profile, bool) {
	if name == "" {
		name = Default
	}
	p, ok := s.byName[name]
	return p, ok
}

// Names gives the names of all profiles, sorted.
func (s *Set) Names() []string { return slices.Sorted(maps.Keys(s.byName)) }

// Parse reads one profile, in the strictest way: unknown and repeated keys,
// anchors, tags and a second document are errors. What it extends is not looked
// at yet.
func Parse(raw []byte) (*Profile, error) {
	if len(raw) > maxFile {
		return nil, errors.New("is larger than a profile can be")
	}
	for _, t := range lexer.Tokenize(string(raw)) {
		switch t.Type {
		case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType, token.DocumentHeaderType, token.DocumentEndType, token.DirectiveType:
			return nil, fmt.Errorf("line %d: anchors, aliases, tags, merge keys and further documents are not read here", t.Position.Line)
		}
	}
	p := &Profile{}
	if err := yaml.UnmarshalWithOptions(raw, p, yaml.Strict()); err != nil {
		return nil, errors.New(yaml.FormatError(err, false, false))
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}
