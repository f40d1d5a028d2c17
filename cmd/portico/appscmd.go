package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"os/user"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/config"
)

// `portico apps` talks to the operator's API of a server that runs: one place
// decides, and what it decides holds at once.

// appsUsage is what `portico apps` alone says.
const appsUsage = `Usage: portico apps <what> [options] [client id]

  list      the apps, or those of one -state: pending, approved, suspended
  show      everything about one app
  approve   let an app be used; options narrow what it may ask for
  suspend   stop an app and every token it holds, at once; -why is needed
  add       register an app and print its secret, once
  secret    replace an app's secret and print the new one, once
  delete    remove an app and end every grant to it

It talks to the running server: admin.listen and admin.credential are taken
from the configuration (-config, portico.yaml by default).
`

// appsFlags are the options of all `portico apps` commands.
type appsFlags struct {
	*opFlags
	state, why, scopes, sources, access, grant         string
	id, name, owner, homepage, kind, jwksURI, jwksFile string
	logo, terms, policy, idTokenAlg                    string
	redirects, launches, contacts                      []string
	revision                                           int64
}

func newAppsFlags(what string, w io.Writer) *appsFlags {
	f := &appsFlags{opFlags: newOpFlags("apps "+what, w)}
	f.takesJSON()
	list := func(into *[]string) func(string) error {
		return func(s string) error {
			*into = append(*into, s)
			return nil
		}
	}
	switch what {
	case "list":
		f.StringVar(&f.state, "state", "", "only apps that are pending, approved or suspended")
	case "approve", "suspend", "secret", "delete", "add":
		f.StringVar(&f.why, "why", "", "the reason, for the record")
	}
	if what == "approve" || what == "add" {
		f.StringVar(&f.scopes, "scopes", "", "what it may ask for, separated by spaces; all that a patient app may have when left out")
		f.StringVar(&f.sources, "sources", "", "ids of the sources it may be used with, separated by commas; all when left out")
		f.StringVar(&f.access, "access-lifetime", "", "how long its access tokens last, such as 10m")
		f.StringVar(&f.grant, "grant-lifetime", "", "the longest a person's yes to it lasts, such as 720h")
	}
	if what == "approve" {
		f.Int64Var(&f.revision, "revision", 0, "approve only the `revision` that show showed, and nothing that the app changed since")
	}
	if what == "add" {
		f.StringVar(&f.id, "id", "", "its client `id`; made up when left out")
		f.StringVar(&f.name, "name", "", "its `name`, shown when people are asked to agree")
		f.StringVar(&f.owner, "owner", "", "who answers for it")
		f.StringVar(&f.homepage, "url", "", "its home page")
		f.StringVar(&f.logo, "logo", "", "the `URL` of its logo")
		f.StringVar(&f.terms, "terms", "", "the `URL` of its terms of service")
		f.StringVar(&f.policy, "policy", "", "the `URL` of its privacy policy")
		f.StringVar(&f.idTokenAlg, "id-token-alg", "", "RS256 or ES256; RS256 when left out")
		f.StringVar(&f.kind, "type", "", "public, confidential (a secret is made) or key (it has a key pair)")
		f.StringVar(&f.jwksURI, "jwks-uri", "", "the `URL` of its public keys")
		f.StringVar(&f.jwksFile, "jwks", "", "the `file` of its public keys")
		f.Func("redirect", "a redirect `URI`; may be repeated", list(&f.redirects))
		f.Func("launch", "a launch `URI` for the EHR; may be repeated", list(&f.launches))
		f.Func("contact", "an e-mail `address`; may be repeated", list(&f.contacts))
	}
	return f
}

// runApps is `portico apps`.
func runApps(ctx context.Context, args []string, std streams) error {
	calls := map[string]func(*operator, context.Context, *appsFlags) error{
		"list": (*operator).list, "show": (*operator).show, "approve": (*operator).decide, "suspend": (*operator).decide,
		"add": (*operator).add, "secret": (*operator).secret, "delete": (*operator).remove,
	}
	what, err := choose(args, appsUsage, std, slices.Collect(maps.Keys(calls))...)
	if err != nil {
		return err
	}
	f := newAppsFlags(what, std.err)
	wanted, problem := 1, "needs one client id"
	if what == "list" || what == "add" {
		wanted, problem = 0, "takes no client id"
	}
	o, id, err := f.connect(args[1:], std, wanted, problem)
	if err != nil {
		return err
	}
	if wanted == 1 {
		f.id = id[0]
	}
	f.state = strings.ToLower(f.state)
	if what == "approve" || what == "suspend" {
		f.kind = what
	}
	return calls[what](o, ctx, f)
}

func newOperator(path string, std streams) (*operator, *config.Config, error) {
	cfg, err := config.LoadWith(path, checks())
	if err != nil {
		return nil, nil, loadError(err)
	}
	if cfg.Admin == nil {
		return nil, nil, errors.New("the configuration has no admin section, so the server has no operator's API; docs/portico.example.yaml shows one")
	}
	o := &operator{base: "http://" + cfg.Admin.Listen, credential: cfg.Admin.Credential.Reveal(), by: "operator", std: std}
	if u, err := user.Current(); err == nil && u.Username != "" {
		o.by = u.Username
	}
	return o, cfg, nil
}
