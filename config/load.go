package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds a configuration file; a real one has a few kilobytes.
const maxFile = 1 << 20

// Load reads, checks and completes the file at path. Its error is an *Error
// with every problem of the file, unless the file cannot be read at all.
// Relative paths in the file are relative to the file.
func Load(path string) (*Config, error) { return LoadWith(path, Checks{}) }

// Checks are judgements that this package cannot make itself.
type Checks struct {
	// Scope says why one scope that an app may ask for is none; nil: any is good.
	Scope func(scope string) error
	// Writable says why apps may never write a resource type; nil: any is good.
	Writable func(typ string) error
	// Type says whether a name is a resource type; nil: any is.
	Type func(name string) bool
	// SensitivitySets are the names that sources' sensitivity may use; nil: any.
	SensitivitySets []string
	// Header says why a header may not be sent to an EHR, "" if it may; nil: any may.
	Header func(name, value string) string
	// Profiles says which profiles of EHRs there are, given the operator's files
	// by path, or what is wrong with these; nil: any name is good.
	Profiles func(files map[string][]byte) (known func(name string) bool, err error)
}

// LoadWith is Load with more checks, whose findings stand among the others.
func LoadWith(path string, more Checks) (*Config, error) {
	data, err := readFile(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return parse(path, data, environment{dir: filepath.Dir(path), lookup: os.LookupEnv, readFile: readFile, stat: os.Stat, more: more})
}

// environment is what a file may refer to.
type environment struct {
	dir      string
	lookup   func(name string) (string, bool)
	readFile func(path string, limit int64) ([]byte, error)
	stat     func(path string) (os.FileInfo, error)
	more     Checks
}

// path makes a path of the file usable from anywhere.
func (e environment) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(e.dir, p)
}

// parse is Load without the file.
func parse(name string, data []byte, env environment) (*Config, error) {
	r := newReport(name)
	r.more = env.more
	c := defaults()
	body := document(r, data)
	if body != nil {
		d := &decoder{report: r, env: env}
		d.mapping("", body, reflect.ValueOf(&c).Elem())
	}
	if err := r.err(); err != nil && body == nil {
		return nil, err
	}
	c.fillIn()
	c.check(r, env)
	if err := r.err(); err != nil {
		return nil, err
	}
	return &c, nil
}

// document gives the one mapping that a file is, or nil after noting why not.
func document(r *report, data []byte) ast.Node {
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) && syntax.Token != nil {
			pos := syntax.Token.Position
			r.addAt(position{pos.Line, pos.Column}, "", "this is not YAML: %s", syntax.Message)
			return nil
		}
		r.addAt(position{1, 1}, "", "this is not YAML: %s", firstLine(err.Error()))
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			r.addAt(positionOf(doc.Body), "", "a second document begins here; put everything into one")
			return nil
		}
		body = doc.Body
	}
	if body == nil || body.Type() == ast.NullType {
		r.addAt(position{1, 1}, "", "the file says nothing; docs/portico.example.yaml shows what it needs")
		return nil
	}
	if _, ok := entries(body); !ok {
		r.addAt(positionOf(body), "", "the file must be keys with values, as in docs/portico.example.yaml")
		return nil
	}
	return body
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// readFile reads a regular file that is not absurdly large.
func readFile(path string, limit int64) ([]byte, error) {
	// Asked before opening: to open a pipe or a terminal would wait for somebody.
	info, err := os.Stat(path)
	if err != nil {
		return nil, plainError(path, err)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a folder", path)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, plainError(path, err)
	}
	defer f.Close() //nolint:errcheck // only read from
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, plainError(path, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return data, nil
}

// plainError says in words what is wrong with a file.
func plainError(path string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no file %s", path)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s may not be read by this user", path)
	default:
		return fmt.Errorf("%s cannot be read: %w", path, err)
	}
}
