package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/portico-fhir/portico/gateway/explain"
)

const explainUsage = `Usage: portico explain <what> [options]

  request   let a request be decided as an app's would be and say how; the answer
            is thrown away:
              portico explain request -source main -token-file token '/Observation?code=1234-5'
  ticket    a ticket for an app: with it in the header Portico-Explain its requests
            are answered as ever, and how they were decided waits for
  show      the decisions of the request with this X-Request-Id

portico explain <what> -h tells the options; -source may be left out when there is
one. It talks to the running server, as portico apps does. Nothing that it prints is
about anybody: no ids, values, names or tokens.
`

type explainFlags struct {
	*opFlags
	method, tokenFile, body, life string
	headers                       map[string]string
	arg                           string // the path to be asked, or the request id
}

// runExplain is `portico explain`.
func runExplain(ctx context.Context, args []string, std streams) error {
	calls := map[string]func(*operator, context.Context, *explainFlags) error{
		"request": (*operator).explain, "ticket": (*operator).ticket, "show": (*operator).shown,
	}
	what, err := choose(args, explainUsage, std, slices.Collect(maps.Keys(calls))...)
	if err != nil {
		return err
	}
	f := newExplainFlags(what, std.err)
	wanted, problem := 1, ""
	switch what {
	case "request":
		problem = "one path is needed, such as '/Observation?code=1234-5'"
	case "ticket":
		wanted, problem = 0, "nothing but options is taken"
	case "show":
		problem = "one X-Request-Id is needed"
	}
	o, rest, err := f.connect(args[1:], std, wanted, problem)
	if err != nil {
		return err
	}
	if wanted == 1 {
		f.arg = rest[0]
	}
	return calls[what](o, ctx, f)
}

func newExplainFlags(what string, w io.Writer) *explainFlags {
	f := &explainFlags{opFlags: newOpFlags("explain "+what, w), headers: map[string]string{}}
	f.takesJSON()
	if what != "show" {
		f.takesSource()
	}
	switch what {
	case "request":
		f.StringVar(&f.method, "method", http.MethodGet, "GET, HEAD, or POST of a _search")
		f.StringVar(&f.tokenFile, "token-file", "", "the `file` with the access token; - reads it from standard input, so that it stands in no list of processes")
		f.StringVar(&f.body, "data", "", "the form of a POST _search")
		f.Func("header", "a `header` such as 'Prefer: handling=lenient'; may be repeated", func(s string) error {
			name, value, ok := strings.Cut(s, ":")
			if !ok {
				return fmt.Errorf("must be name: value")
			}
			f.headers[name] = strings.TrimSpace(value)
			return nil
		})
	case "ticket":
		f.StringVar(&f.life, "for", "10m", "`how long` it is good; 15m at most")
	}
	return f
}

func (o *operator) explain(ctx context.Context, f *explainFlags) error {
	body := explainBody{Source: f.source, Method: f.method, Path: f.arg, Headers: f.headers, Body: f.body, By: o.by}
	if f.body != "" {
		f.headers["Content-Type"] = "application/x-www-form-urlencoded"
	}
	if f.tokenFile != "" {
		token, err := readToken(f.tokenFile)
		if err != nil {
			return err
		}
		body.Token = token
	}
	var got explain.Explanation
	if err := o.call(ctx, http.MethodPost, "/explain", body, &got); err != nil {
		return err
	}
	if f.json {
		return o.print(got)
	}
	return o.narrate(got)
}

func readToken(path string) (string, error) {
	var raw []byte
	var err error
	if path == "-" {
		raw, err = io.ReadAll(io.LimitReader(os.Stdin, maxExplainBody))
	} else {
		raw, err = os.ReadFile(path) //nolint:gosec // whoever runs the command names the file
	}
	if err != nil {
		return "", fmt.Errorf("the token: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

func (o *operator) ticket(ctx context.Context, f *explainFlags) error {
	var got ticketAnswer
	if err := o.call(ctx, http.MethodPost, "/explain/ticket", explainBody{Source: f.source, For: f.life, By: o.by}, &got); err != nil {
		return err
	}
	if f.json {
		return o.print(got)
	}
	say(o.std.out, "%s: %s\n", got.Header, got.Ticket)
	say(o.std.err, "Good until %s. Then: portico explain show X-REQUEST-ID\n", got.Expires.Format("15:04:05 MST"))
	return nil
}

func (o *operator) shown(ctx context.Context, f *explainFlags) error {
	var got explanations
	if err := o.call(ctx, http.MethodGet, "/explain/"+url.PathEscape(f.arg), nil, &got); err != nil {
		return err
	}
	if f.json {
		return o.print(got)
	}
	for _, e := range got.Explanations {
		if err := o.narrate(e); err != nil {
			return err
		}
	}
	return nil
}

// narrate prints an Explanation for people.
func (o *operator) narrate(e explain.Explanation) error {
	t := tabwriter.NewWriter(o.std.out, 0, 4, 2, ' ', 0)
	line := func(name, format string, args ...any) { say(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	line("asked", "%s %s at %s by %s", e.Interaction, e.Type, e.Source, dash(e.Client))
	line("scopes", "%s", dash(strings.Join(e.Scopes, " ")))
	for _, a := range e.Authorised {
		if a.Missing != "" {
			line("authorised", "%s.%s: nothing; missing: %s", a.Type, a.Access, a.Missing)
		} else {
			line("authorised", "%s.%s: %s, by %s", a.Type, a.Access, a.Covered, strings.Join(a.By, " "))
		}
	}
	for _, p := range e.Parameters {
		line("parameter", "%s (%s, %d values): %s", p.Name, dash(p.Kind), p.Values, p.Became)
	}
	for _, n := range e.Narrowing {
		text := n.How
		if n.By != "" {
			text += " by " + strings.Join(append([]string{n.By}, n.Union...), ", then ")
		}
		line("narrowed", "%s (%s): %s", n.Type, n.Class, text)
	}
	for _, c := range e.Cache {
		line("cache", "%s: %s, %.0f s old", c.Class, c.Result, c.Age)
	}
	for _, c := range e.Upstream {
		line("upstream", "%d. %s %s [%s]: %s, %d entries, %d bytes, %.1f ms", c.Number, c.Kind, c.Type, strings.Join(c.Parameters, " "), c.Result, c.Entries, c.Bytes, c.Milliseconds)
	}
	for _, p := range e.Proofs {
		line("proof", "%s %s: %v, %s", p.Kind, p.Type, p.Proven, p.Why)
	}
	for _, one := range e.Entries {
		if one.Became != "kept" {
			line("entry", "%d.%d %s: %s, %s", one.Call, one.Position, dash(one.Type), one.Became, one.Reason)
		}
	}
	line("released", "%d, %d of them masked; %d withheld", e.Released, e.Masked, e.Withheld)
	line("ended", "%d %s %s after %s, %.1f ms", e.Status, e.Outcome, e.Error, e.Ended, e.Milliseconds)
	return t.Flush()
}
