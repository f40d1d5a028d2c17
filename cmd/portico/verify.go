package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/sensitivity"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/verify"
	"github.com/portico-fhir/portico/smart/token"
)

// errFailed says that something of the other patient was seen; the report has
// been written.
var errFailed = errors.New("something of the other patient was seen")

// verifyOptions is what the flags of portico verify say.
type verifyOptions struct {
	config, source, as, not string
	json, html              string
	write                   bool
	pairs                   int
}

// runVerify is `portico verify`. It attacks in process, with a state of its own
// that is thrown away, so that it may run beside a serving Portico.
func runVerify(ctx context.Context, args []string, std streams) error {
	var o verifyOptions
	f := flag.NewFlagSet("verify", flag.ContinueOnError)
	f.StringVar(&o.config, "config", "portico.yaml", "the configuration `file` whose EHR is attacked")
	f.StringVar(&o.source, "source", "", "the `id` of the source; may be left out when there is one")
	f.StringVar(&o.as, "as", "", "the Patient `id` as whom is asked")
	f.StringVar(&o.not, "not", "", "the Patient `id` of whom nothing may be seen")
	f.IntVar(&o.pairs, "pairs", 20, "how many `times` each foreign resource is timed against a missing one; 0 leaves the times out")
	f.BoolVar(&o.write, "write", false, "also try to change records, with what is configured under write; what turns out to be changed is put back, but do this where nobody works")
	f.StringVar(&o.json, "json", "", "write the whole report as JSON to this `file`; it names patients")
	f.StringVar(&o.html, "html", "", "write the whole report as a page to this `file`; it names patients")
	if err := parseFlags(f, args, std.err); err != nil {
		return err
	}
	cfg, err := config.LoadWith(o.config, checks())
	if err != nil {
		return loadError(err)
	}
	if o.as == "" || o.not == "" || o.as == o.not {
		return errors.New("-as and -not must name two different patients")
	}
	report, err := verifySource(ctx, cfg, o)
	if err != nil {
		return err
	}
	if err := writeReport(report, o, std.out); err != nil {
		return err
	}
	if report.Failed() {
		return errFailed
	}
	return nil
}

func verifySource(ctx context.Context, cfg *config.Config, o verifyOptions) (*verify.Report, error) {
	src, err := pickSource(cfg, o.source)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "portico-verify-")
	if err != nil {
		return nil, fmt.Errorf("a folder for the state: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cfg.Limits.PerApp, cfg.Limits.PerPatient = config.Budget{}, config.Budget{} // it asks more than anybody
	cfg.Store = config.Store{SQLite: filepath.Join(dir, "state.sqlite")}
	cfg.Clients = append(cfg.Clients, config.Client{
		ID: verifyClient, Name: "portico verify", Type: config.ClientPublic, RedirectURIs: []string{"http://127.0.0.1:1/none"},
	})
	a, err := build(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Close(context.WithoutCancel(ctx)) }()
	scopes, undo := "patient/*.rs", upstream.Writer(nil)
	if o.write {
		scopes, undo = "patient/*.cruds", a.parts.writes[src.ID]
	}
	bearer, err := mint(ctx, a.parts.store, minted{source: src.ID, patient: o.as, scopes: scopes})
	if err != nil {
		return nil, err
	}
	host, err := url.Parse(src.FHIRBase)
	if err != nil {
		return nil, fmt.Errorf("fhir_base: %w", err)
	}
	var hosts []string
	if public, err := url.Parse(cfg.PublicURL); err == nil && public.Host != host.Host {
		hosts = []string{host.Host}
	}
	withheld, err := labels(src.Sensitivity)
	if err != nil {
		return nil, err
	}
	sensitive := func(r *fhir.Resource) bool { return withheld.Of(r) != sensitivity.Open }
	return verify.Run(ctx, verify.Options{
		Gateway: a.Handler, Base: cfg.PublicURL + "/fhir/" + src.ID, Bearer: bearer, EHR: a.parts.upstreams[src.ID],
		Undo: undo, Sensitive: sensitive,
		As: o.as, Not: o.not, Hosts: hosts, Pairs: o.pairs, Now: time.Now,
	})
}

func pickSource(cfg *config.Config, id string) (config.Source, error) {
	for _, s := range cfg.Sources {
		if s.ID == id || id == "" && len(cfg.Sources) == 1 {
			return s, nil
		}
	}
	if id == "" {
		return config.Source{}, errors.New("there are several sources: name one with -source")
	}
	return config.Source{}, fmt.Errorf("there is no source %q in the configuration", id)
}

// verifyClient is the app that the token of a run is for.
const verifyClient = "portico-verify"

// verifyLife is how long the token of a run is good.
const verifyLife = time.Hour

// minted is what the token of a run is good for.
type minted struct{ source, patient, scopes string }

// mint makes a grant for a patient as consent would, in the run's own state.
func mint(ctx context.Context, s token.Store, m minted) (string, error) {
	now := time.Now()
	secret, digest := token.NewSecret(rand.Reader)
	_, code := token.NewSecret(rand.Reader)
	grant := token.Grant{
		ID: "verify", Client: verifyClient, Source: m.source, Patient: m.patient, PersonIssuer: "portico verify", PersonSubject: "operator",
		FHIRUser: "Patient/" + m.patient, Scopes: m.scopes, AuthTime: now, Created: now, Expires: now.Add(verifyLife),
	}
	err := s.CreateGrant(ctx, grant, token.Code{Digest: code, RedirectURI: "urn:none", Challenge: "none", Expires: now.Add(time.Minute)})
	if err != nil {
		return "", err
	}
	access := token.Access{Digest: digest, Scopes: m.scopes, Issued: now, Expires: now.Add(verifyLife)}
	if err := s.CreateAccess(ctx, grant.ID, access); err != nil {
		return "", err
	}
	return secret, nil
}

func writeReport(r *verify.Report, o verifyOptions, out io.Writer) error {
	for file, write := range map[string]func(io.Writer) error{o.json: r.JSON, o.html: r.HTML} {
		if file == "" {
			continue
		}
		w, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // the operator names it
		if err != nil {
			return fmt.Errorf("the report: %w", err)
		}
		if err := errors.Join(write(w), w.Close()); err != nil {
			return fmt.Errorf("the report: %w", err)
		}
	}
	return r.Text(out)
}
