package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/gateway/store"
	"github.com/portico-fhir/portico/smart/token"
)

const keysUsage = `Usage:
  portico keys list   [-config file]
  portico keys rotate [-config file] [-alg RS256|ES256|RS384|ES384] [-compromised]

RS256 and ES256 sign id_tokens; RS384 and ES384 sign Portico in at EHRs that have
auth: {key: jwt}. Without -alg all that there are rotate. A running server follows
at once.
`

// runKeys is `portico keys`.
func runKeys(ctx context.Context, args []string, std streams) error {
	what, err := choose(args, keysUsage, std, "list", "rotate")
	if err != nil {
		return err
	}
	f := flag.NewFlagSet("keys "+what, flag.ContinueOnError)
	path := f.String("config", "portico.yaml", "the configuration `file`")
	var alg string
	var compromised bool
	if what == "rotate" {
		f.StringVar(&alg, "alg", "", "rotate the key of this `algorithm` alone: "+strings.Join(allAlgorithms(), ", "))
		f.BoolVar(&compromised, "compromised", false, "somebody may have the old key: stop believing what it signed, at once")
	}
	if err := parseFlags(f, args[1:], std.err); err != nil {
		return err
	}
	if alg != "" && !slices.Contains(allAlgorithms(), alg) {
		say(std.err, "portico keys rotate: -alg must be %s\n", strings.Join(allAlgorithms(), ", "))
		return errUsage
	}
	cfg, err := config.LoadWith(*path, checks())
	if err != nil {
		return loadError(err)
	}
	keys, err := store.Open(ctx, storeOptions(cfg.Store))
	if err != nil {
		return err
	}
	// What signs when is told by the clock that replicas go by, as this machine's
	// may be another.
	now, err := keys.Clock(ctx)
	switch {
	case err != nil:
	case what == "rotate":
		err = rotateKeys(ctx, keys, now, rotation{alg, compromised}, std.out)
	default:
		err = listKeys(ctx, keys, now, std.out)
	}
	return errors.Join(err, keys.Close())
}

func allAlgorithms() []string { return append(token.Algorithms(), token.BackendAlgorithms()...) }

// rotation is what an operator asks for.
type rotation struct {
	alg         string // alone; "": all that there are
	compromised bool
}

func rotateKeys(ctx context.Context, keys token.KeyStore, now time.Time, r rotation, out io.Writer) error {
	there, err := keys.Keys(ctx)
	if err != nil {
		return err
	}
	for _, alg := range allAlgorithms() {
		used := slices.Contains(token.Algorithms(), alg) || slices.ContainsFunc(there, func(k token.Key) bool { return k.Alg == alg })
		if r.alg != alg && (r.alg != "" || !used) {
			continue
		}
		fresh, from, err := token.Rotate(ctx, token.Rotation{Keys: keys, Alg: alg, Now: now, Rand: rand.Reader, Compromised: r.compromised})
		if err != nil {
			return err
		}
		say(out, "%s %s signs from %s\n", fresh.Alg, fresh.ID, from.UTC().Format(time.RFC3339))
	}
	if r.compromised {
		say(out, "The old keys are out of the JWKS: what they signed is good no more.\nApps may believe the old JWKS for some minutes yet.\n")
	}
	return nil
}

func listKeys(ctx context.Context, keys token.KeyStore, now time.Time, out io.Writer) error {
	all, err := keys.Keys(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	say(w, "ALG\tCREATED\tSTATE\tID\n")
	for _, k := range all {
		say(w, "%s\t%s\t%s\t%s\n", k.Alg, k.Created.UTC().Format(time.RFC3339), stateOf(k, all, now), k.ID)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// stateOf says what a key does at now.
func stateOf(k token.Key, all []token.Key, now time.Time) string {
	earlier := func(o token.Key) bool {
		return o.Alg == k.Alg && o.ID != k.ID && o.InUse(now) && !o.Retired.IsZero() && (k.Retired.IsZero() || o.Retired.Before(k.Retired))
	}
	switch {
	case !k.Verifies(now):
		return "gone"
	case !k.InUse(now):
		return "retired, verifies still"
	case slices.ContainsFunc(all, earlier):
		return "waits for its turn"
	case !k.Retired.IsZero():
		return "signs until " + k.Retired.UTC().Format(time.RFC3339)
	}
	return "signs"
}
