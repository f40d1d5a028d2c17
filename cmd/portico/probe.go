package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/probe"
	"github.com/portico-fhir/portico/gateway/upstream/profiles"
)

// errIncomplete says that something of US Core will not work; the report tells.
var errIncomplete = errors.New("something will be missing, whatever the profile")

// probeOptions is what the flags of portico probe say.
type probeOptions struct {
	config, source, patient, name, json, profile string
}

// runProbe is `portico probe`. It asks the EHR with the source's own credentials
// and limits, and changes nothing.
func runProbe(ctx context.Context, args []string, std streams) error {
	var o probeOptions
	f := flag.NewFlagSet("probe", flag.ContinueOnError)
	f.StringVar(&o.config, "config", "portico.yaml", "the configuration `file` whose EHR is asked")
	f.StringVar(&o.source, "source", "", "the `id` of the source; may be left out when there is one")
	f.StringVar(&o.patient, "patient", "", "the `id` of a test Patient with much in the record")
	f.StringVar(&o.name, "name", "our-ehr", "the `name` of the proposed profile")
	f.StringVar(&o.json, "json", "", "write the report as JSON to this `file`")
	f.StringVar(&o.profile, "profile", "", "write the proposed profile to this `file`")
	if err := parseFlags(f, args, std.err); err != nil {
		return err
	}
	if !fhir.ValidID(o.patient) {
		return errors.New("-patient must be the id of a Patient at the EHR")
	}
	cfg, err := config.LoadWith(o.config, checks())
	if err != nil {
		return loadError(err)
	}
	report, err := probeSource(ctx, cfg, o)
	if err != nil {
		return err
	}
	if o.json != "" {
		w, err := os.OpenFile(o.json, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("the report: %w", err)
		}
		if err := errors.Join(report.JSON(w), w.Close()); err != nil {
			return fmt.Errorf("the report: %w", err)
		}
	}
	if o.profile != "" {
		if err := os.WriteFile(o.profile, []byte(report.YAML), 0o600); err != nil {
			return fmt.Errorf("the profile: %w", err)
		}
	}
	if err := report.Text(std.out); err != nil {
		return err
	}
	if report.Missing() {
		return errIncomplete
	}
	return nil
}

func probeSource(ctx context.Context, cfg *config.Config, o probeOptions) (*probe.Report, error) {
	src, err := pickSource(cfg, o.source)
	if err != nil {
		return nil, err
	}
	base, err := fhir.ParseBase(src.FHIRBase)
	if err != nil {
		return nil, fmt.Errorf("fhir_base: %w", err)
	}
	set, err := profilesOf(cfg.Profiles)
	if err != nil {
		return nil, err
	}
	w := newWiring(cfg, slog.New(slog.DiscardHandler))
	if w.telemetry, err = newTelemetry(cfg, w.log); err != nil {
		return nil, err
	}
	defer func() { _ = w.telemetry.Close(context.WithoutCancel(ctx)) }()
	var add map[string]string
	if p, known := set.Get(src.Profile); known {
		add = p.Search.Add
	}
	return probe.Run(ctx, probe.Options{
		Base: base, Set: set, Patient: o.patient, Name: o.name, Add: add,
		Connect: func(h profiles.HTTP) (upstream.Reader, error) {
			return w.connect(src, base, &profiles.Profile{HTTP: h})
		},
	})
}
