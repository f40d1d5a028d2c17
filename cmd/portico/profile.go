package main

import (
	"fmt"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/profiles"
	"github.com/portico-fhir/portico/gateway/upstream/quirks"
)

// profilesOf gives the profiles that come with Portico and those of the
// operator's files.
func profilesOf(files map[string][]byte) (*profiles.Set, error) {
	built, err := profiles.BuiltIn()
	if err != nil {
		return nil, err
	}
	return built.With(files)
}

// knownProfiles is config.Checks.Profiles.
func knownProfiles(files map[string][]byte) (func(name string) bool, error) {
	set, err := profilesOf(files)
	if err != nil {
		return nil, err
	}
	return func(name string) bool {
		_, known := set.Get(name)
		return known
	}, nil
}

// profile gives the profile that a source's EHR has.
func (w *wiring) profile(s config.Source) (*profiles.Profile, error) {
	set, err := profilesOf(w.cfg.Profiles)
	if err != nil {
		return nil, err
	}
	p, known := set.Get(s.Profile)
	if !known {
		return nil, fmt.Errorf("there is no profile %q", s.Profile)
	}
	return p, nil
}

// unquirked makes an EHR answer as R4 says, by its profile.
func (w *wiring) unquirked(up upstream.Reader, base fhir.Base, p *profiles.Profile) (upstream.Reader, error) {
	return quirks.New(quirks.Options{Upstream: up, Base: base, Profile: p, Room: w.room})
}
