package config

import (
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// maxSecret bounds a secret's file; keys and tokens are far smaller.
const maxSecret = 64 << 10

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// secret reads {file: path} or {env: NAME}. A secret in the file itself is
// refused: configuration files end in version control.
func (d *decoder) secret(path string, n ast.Node, out *Secret) {
	const want = "write {file: path} or {env: NAME}"
	list, ok := entries(n)
	if !ok {
		d.report.addAt(positionOf(n), path, "a secret must not stand in this file; put it into a file of its own or the environment and %s", want)
		return
	}
	if len(list) != 1 {
		d.report.addAt(positionOf(n), path, "needs exactly one place to come from; %s", want)
		return
	}
	kind := keyText(list[0].key)
	if kind != "file" && kind != "env" {
		d.report.addAt(positionOf(list[0].key), path, "cannot come from %s; %s", kind, want)
		return
	}
	full := join(path, kind)
	d.report.at[full] = positionOf(list[0].key)
	if list[0].value == nil || list[0].value.Type() == ast.NullType {
		d.report.addAt(positionOf(list[0].key), path, "does not say which %s; %s", kind, want)
		return
	}
	d.report.at[full] = positionOf(list[0].value)
	name, ok := d.text(full, list[0].value, "a text")
	if !ok {
		d.report.broken[path] = true
		return
	}
	var value, problem string
	if kind == "file" {
		value, problem = d.fromFile(name)
	} else {
		value, problem = d.fromEnvironment(name)
	}
	if problem != "" {
		d.report.broken[path] = true
		d.report.addAt(d.report.at[full], full, "%s", problem)
		return
	}
	*out = NewSecret(value)
}

// fromFile reads a secret's file; one line break at its end is not part of it,
// since every editor and `echo` leaves one.
func (d *decoder) fromFile(name string) (value, problem string) {
	data, err := d.env.readFile(d.env.path(name), maxSecret)
	if err != nil {
		return "", err.Error() + "; create it or correct the path"
	}
	value = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	return value, checkSecret(value, "the file "+name)
}

func (d *decoder) fromEnvironment(name string) (value, problem string) {
	if !envName.MatchString(name) {
		return "", "is not the name of an environment variable"
	}
	value, found := d.env.lookup(name)
	if !found {
		return "", "the environment variable " + name + " is not set; set it or use {file: path}"
	}
	return value, checkSecret(value, "the environment variable "+name)
}

// checkSecret refuses what cannot be meant, without printing it.
func checkSecret(value, from string) string {
	switch {
	case value == "":
		return from + " is empty; put the secret there"
	case strings.ContainsAny(value, "\x00\r\n"):
		return from + " has more than one line; only the secret may stand there"
	case strings.TrimSpace(value) != value:
		return from + " has space around the secret; remove it"
	default:
		return ""
	}
}
