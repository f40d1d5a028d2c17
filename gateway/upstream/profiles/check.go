package profiles

import (
	"fmt"
	"mime"
	"regexp"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
)

var (
	nameForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)
	ownForm    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,63}$`)
	fileForm   = regexp.MustCompile(`^[A-Za-z0-9_.{}-]+(/[A-Za-z0-9_.{}-]+)*/?$`)
	offsetForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,39}$`)
)

// controls are the parameters that shape an answer and can be kept back.
var controls = []string{"_count", "_sort", "_include", "_revinclude"}

// check finds what reads well and cannot work.
func (p *Profile) check() error {
	switch {
	case !nameForm.MatchString(p.Name):
		return fmt.Errorf("name: must be 1 to 40 of a-z, 0-9 and -")
	case p.Search.MaxCount < 0 || p.Search.MaxCount > 10000:
		return fmt.Errorf("search.max_count: must be between 1 and 10000")
	}
	for key, one := range map[string]struct {
		value   string
		allowed []string
	}{
		"metadata":         {p.Metadata, []string{Stated, Absent}},
		"search.how":       {p.Search.How, []string{ByQuery, ByList, ByNone}},
		"search.modifiers": {p.Search.Modifiers, []string{Send, Drop}},
		"search.unstated":  {p.Search.Unstated, []string{Send, Drop}},
		"search.patients":  {p.Search.Patients, []string{AsReference, AsID}},
		"search.dates":     {p.Search.Dates, []string{AnyDate, DayOnly}},
	} {
		if one.value != "" && !slices.Contains(one.allowed, one.value) {
			return fmt.Errorf("%s: must be %s", key, strings.Join(one.allowed, " or "))
		}
	}
	if _, err := regexp.Compile(`^(?:` + p.IDs + `)$`); err != nil || len(p.IDs) > 200 {
		return fmt.Errorf("ids: is no regular expression of at most 200 characters")
	}
	for _, part := range []func() error{p.checkHTTP, p.checkFiles, p.checkNever, p.checkAdd, p.checkTypes} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

func (p *Profile) checkHTTP() error {
	if strings.ContainsFunc(p.HTTP.Accept, func(r rune) bool { return r < ' ' || r > '~' }) || len(p.HTTP.Accept) > 200 {
		return fmt.Errorf("http.accept: must be media types in plain characters")
	}
	for _, m := range p.HTTP.MediaTypes {
		if media, _, err := mime.ParseMediaType(m); err != nil || media != m {
			return fmt.Errorf("http.media_types: %q is no media type in lower case without parameters", m)
		}
	}
	if p.Next.Offset != "" && !offsetForm.MatchString(p.Next.Offset) {
		return fmt.Errorf("next.offset: must be a parameter's name of at most 40 letters, digits, _ and -")
	}
	for _, a := range p.Next.Aliases {
		if _, err := fhir.ParseBase(a); err != nil {
			return fmt.Errorf("next.aliases: %q is no base URL", a)
		}
	}
	return nil
}

func (p *Profile) checkFiles() error {
	for key, list := range map[string][]string{"files.read": p.Files.Read, "files.list": p.Files.List} {
		for _, t := range list {
			plain := strings.NewReplacer("{type}", "T", "{id}", "1").Replace(t)
			if !fileForm.MatchString(t) || strings.ContainsAny(plain, "{}") || strings.Contains(plain, "..") {
				return fmt.Errorf("%s: %q is no path of letters, digits, _ . - / with {type} and {id}", key, t)
			}
			if !strings.Contains(t, "{type}") || strings.Contains(t, "{id}") != (key == "files.read") {
				return fmt.Errorf("%s: %q must hold {type}; {id} is for files.read and needed there", key, t)
			}
		}
	}
	return nil
}

func (p *Profile) checkNever() error {
	for _, name := range p.Search.Never {
		if !slices.Contains(controls, name) && !knownSomewhere(name) {
			return fmt.Errorf("search.never: there is no parameter %q", name)
		}
	}
	for _, typ := range p.Offers {
		if !search.IsResourceType(typ) {
			return fmt.Errorf("offers: %q is no resource type of R4", typ)
		}
	}
	return nil
}

// checkAdd: what R4 knows is for always, by type, where it is evaluated as well.
func (p *Profile) checkAdd() error {
	if len(p.Search.Add) > 10 {
		return fmt.Errorf("search.add: has more than 10 parameters")
	}
	for name, value := range p.Search.Add {
		switch {
		case !ownForm.MatchString(name) || knownSomewhere(name):
			return fmt.Errorf("search.add: %q must be a parameter of the server's own, of letters, digits, _ . and -; those of R4 go into always", name)
		case value == "" || len(value) > 200 || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }):
			return fmt.Errorf("search.add: the value of %q must be 1 to 200 plain characters", name)
		}
	}
	return nil
}

// knownSomewhere: a name that is kept back for all types need not be one of each.
func knownSomewhere(name string) bool {
	return slices.ContainsFunc(search.ResourceTypes(), func(typ string) bool {
		_, known := search.Lookup(typ, name)
		return known
	})
}

func (p *Profile) checkTypes() error {
	for typ, t := range p.Types {
		if !search.IsResourceType(typ) {
			return fmt.Errorf("types.%s: is no resource type of R4", typ)
		}
		if err := t.check(typ); err != nil {
			return fmt.Errorf("types.%s.%w", typ, err)
		}
	}
	return nil
}

func (t Type) check(typ string) error {
	if t.How != "" && !slices.Contains([]string{ByQuery, ByList, ByNone}, t.How) {
		return fmt.Errorf("how: must be query, list or none")
	}
	known := func(name string) bool {
		_, ok := search.Lookup(typ, name)
		return ok
	}
	for key, list := range map[string][]string{"only": t.Only, "never": t.Never, "one_of": t.OneOf} {
		for _, name := range list {
			if !known(name) && !(key == "never" && slices.Contains(controls, name)) {
				return fmt.Errorf("%s: %q is no parameter of this type that Portico evaluates", key, name)
			}
		}
	}
	for from, to := range t.Rename {
		if !known(from) || !known(to) {
			return fmt.Errorf("rename: %q or %q is no parameter of this type", from, to)
		}
	}
	if (t.FanOut.Param == "") != (len(t.FanOut.Values) == 0) || len(t.FanOut.Values) > 100 {
		return fmt.Errorf("fan_out: needs param and up to 100 values")
	}
	if t.FanOut.Param != "" && len(t.OneOf) > 0 && !slices.Contains(t.OneOf, t.FanOut.Param) {
		return fmt.Errorf("fan_out.param: must be one of those of one_of")
	}
	for _, v := range t.FanOut.Values {
		if err := parses(typ, t.FanOut.Param, v); err != nil {
			return fmt.Errorf("fan_out: %w", err)
		}
	}
	for name, v := range t.Always {
		if err := parses(typ, name, v); err != nil {
			return fmt.Errorf("always: %w", err)
		}
	}
	return nil
}

func parses(typ, name, value string) error {
	_, err := search.Parse(typ, []search.Pair{{Name: name, Value: value}}, search.Options{Strict: true, Trusted: true})
	return err
}
