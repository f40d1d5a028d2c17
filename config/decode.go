package config

import (
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// decoder puts the syntax tree into the structs, in the strictest way: a key
// that is not known, a value of another type, or one that YAML would reshape is
// a problem with a place. It goes on after each, so that all are told at once.
type decoder struct {
	report *report
	env    environment
}

const day = 24 * time.Hour

// entry is one key of a mapping with its value.
type entry struct {
	key   ast.MapKeyNode
	value ast.Node
}

// entries gives the keys of a mapping in the order of the file.
func entries(n ast.Node) ([]entry, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		out := make([]entry, 0, len(n.Values))
		for _, v := range n.Values {
			out = append(out, entry{v.Key, v.Value})
		}
		return out, true
	case *ast.MappingValueNode:
		return []entry{{n.Key, n.Value}}, true
	default:
		return nil, false
	}
}

// positionOf gives where a node begins.
func positionOf(n ast.Node) position {
	if es, ok := entries(n); ok && len(es) > 0 {
		n = es[0].key
	}
	if s, ok := n.(*ast.SequenceNode); ok && len(s.Values) > 0 && !s.IsFlowStyle && s.Values[0] != nil {
		return positionOf(s.Values[0])
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return position{t.Position.Line, t.Position.Column}
	}
	return position{}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// mapping fills a struct from a mapping.
func (d *decoder) mapping(path string, n ast.Node, out reflect.Value) {
	list, ok := entries(n)
	if !ok {
		d.wrongType(path, n, "keys with values, indented below it")
		return
	}
	fields := fieldsOf(out.Type())
	seen := map[string]position{}
	for _, e := range list {
		key := keyText(e.key)
		pos := positionOf(e.key)
		full := join(path, key)
		if first, twice := seen[key]; twice {
			d.report.broken[full] = false // the first may have had a problem of its own
			d.report.addAt(pos, full, "this key was given already in line %d; remove one", first.line)
			continue
		}
		seen[key] = pos
		index, known := fields[key]
		if !known {
			d.unknown(pos, full, key, fields)
			continue
		}
		d.report.at[full] = pos
		d.value(full, e.value, out.Field(index))
	}
}

// unknown notes a key that means nothing, with the one that was probably meant.
func (d *decoder) unknown(pos position, full, key string, fields map[string]int) {
	switch best := nearest(key, fields); {
	case key == "<<":
		d.report.addAt(pos, full, "merge keys are not read here; write the keys out")
	case best != "":
		d.report.addAt(pos, full, "there is no such key; did you mean %s?", best)
	default:
		d.report.addAt(pos, full, "there is no such key here; remove it, or see docs/portico.example.yaml")
	}
}

// fieldsOf gives the index of each key of a struct.
func fieldsOf(t reflect.Type) map[string]int {
	out := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("yaml"); tag != "" {
			out[tag] = i
		}
	}
	return out
}

// keyText gives a key as it was written.
func keyText(k ast.MapKeyNode) string {
	if s, ok := k.(*ast.StringNode); ok {
		return printable(s.Value)
	}
	if t := k.GetToken(); t != nil {
		return printable(t.Value)
	}
	return printable(k.String())
}

// printable quotes a key that could confuse a terminal or the reader of a path.
func printable(key string) string {
	if len(key) > 64 {
		key = key[:64]
	}
	for _, r := range key {
		if r <= ' ' || r > '~' || strings.ContainsRune(`.[]"`, r) {
			return strconv.QuoteToASCII(key)
		}
	}
	return key
}

// value fills one field. Aliases are refused, not followed: a file that is read
// top to bottom hides nothing and cannot be made to grow.
func (d *decoder) value(path string, n ast.Node, out reflect.Value) {
	switch n.(type) {
	case nil, *ast.NullNode:
		d.report.add(path, "there is no value; give one or remove the key")
		return
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		d.report.add(path, "anchors, aliases and tags are not read here; write the value out")
		return
	}
	if pos := positionOf(n); pos.line > 0 {
		d.report.at[path] = pos
	}
	switch target := out.Addr().Interface().(type) {
	case *Secret:
		d.secret(path, n, target)
	case *netip.Prefix:
		d.prefix(path, n, target)
	case *time.Duration:
		d.duration(path, n, target)
	default:
		d.kind(path, n, out)
	}
}

// kind fills a field by what Go calls its kind.
func (d *decoder) kind(path string, n ast.Node, out reflect.Value) {
	switch out.Kind() {
	case reflect.String:
		if s, ok := d.text(path, n, "a text"); ok {
			out.SetString(s)
		}
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			d.wrongType(path, n, "true or false, without quotes")
			return
		}
		out.SetBool(b.Value)
	case reflect.Int:
		if i, ok := d.whole(path, n); ok {
			out.SetInt(i)
		}
	case reflect.Struct:
		d.mapping(path, n, out)
	case reflect.Pointer:
		out.Set(reflect.New(out.Type().Elem()))
		d.mapping(path, n, out.Elem())
	case reflect.Slice:
		d.list(path, n, out)
	default:
		panic("config: no way to read a " + out.Type().String()) // a defect of the structs, met by every test
	}
}

func (d *decoder) list(path string, n ast.Node, out reflect.Value) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.wrongType(path, n, "a list: one “- …” line for each")
		return
	}
	values := reflect.MakeSlice(out.Type(), len(s.Values), len(s.Values))
	for i, v := range s.Values {
		d.value(path+"["+strconv.Itoa(i)+"]", v, values.Index(i))
	}
	out.Set(values)
}

// text reads a string. A number or a truth value is not taken for one: 0123 and
// 123 are different client ids, and YAML cannot tell them apart.
func (d *decoder) text(path string, n ast.Node, want string) (string, bool) {
	var s string
	switch n := n.(type) {
	case *ast.StringNode:
		s = n.Value
	case *ast.LiteralNode:
		s = n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		d.wrongType(path, n, want+"; put it in quotes")
		return "", false
	default:
		d.wrongType(path, n, want)
		return "", false
	}
	if strings.TrimSpace(s) == "" {
		d.report.add(path, "is empty; give a value or remove the key")
		return "", false
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }); i >= 0 || s != strings.TrimSpace(s) {
		d.report.add(path, "holds line breaks, control characters or space around it; write it on one line")
		return "", false
	}
	return s, true
}

func (d *decoder) whole(path string, n ast.Node) (int64, bool) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		d.wrongType(path, n, "a whole number")
		return 0, false
	}
	var v int64
	switch n := i.Value.(type) {
	case int64:
		v = n
	case uint64:
		v = int64(min(n, math.MaxInt64))
	}
	// Zero would be taken for "not given", so it is refused like the negatives.
	if v < 1 {
		d.report.add(path, "must be 1 or more")
		return 0, false
	}
	return v, true
}

func (d *decoder) prefix(path string, n ast.Node, out *netip.Prefix) {
	s, ok := d.text(path, n, "an address or a range such as 10.0.0.0/8")
	if !ok {
		return
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		*out = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		return
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		d.report.add(path, "is not an address or a range such as 10.0.0.0/8 or fd00::/8")
	case p != p.Masked():
		d.report.add(path, "has bits set beyond its length; write %s", p.Masked())
	case p.Bits() == 0:
		d.report.add(path, "is every address there is; name those that are meant")
	default:
		*out = p
	}
}

func (d *decoder) duration(path string, n ast.Node, out *time.Duration) {
	if _, number := n.(*ast.IntegerNode); number {
		d.report.add(path, "needs a unit: write 30s, 15m, 8h or 90d")
		return
	}
	s, ok := d.text(path, n, "a duration such as 30s, 15m, 8h or 90d")
	if !ok {
		return
	}
	v, ok := parseDuration(s)
	if !ok {
		d.report.add(path, "is not a duration; write one such as 30s, 15m, 8h or 90d")
		return
	}
	*out = v
}

// parseDuration reads Go durations and whole days.
func parseDuration(s string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * day, err == nil && n > 0
	}
	v, err := time.ParseDuration(s)
	return v, err == nil && v > 0
}

// wrongType notes that a value is not what the key takes, and what it is.
func (d *decoder) wrongType(path string, n ast.Node, want string) {
	d.report.addAt(positionOf(n), path, "is %s, but must be %s", what(n), want)
}

// what names a node in plain words.
func what(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a section"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return "an anchor, alias or tag"
	default:
		return "a text"
	}
}
