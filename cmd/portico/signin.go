package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/gateway/login"
	"github.com/portico-fhir/portico/gateway/pages"
	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/scope"
)

// source gives a source as the authorization server sees it.
func (w *wiring) source(s config.Source) (authz.Source, error) {
	out := authz.Source{
		ID: s.ID, Name: s.Name, Base: w.cfg.PublicURL + "/fhir/" + s.ID,
		SignIn: authz.Assurance{ACR: s.SignIn.ACR, AMR: s.SignIn.AMR}, Writes: letters(s.Write),
	}
	if !s.EHRLaunch.Token.IsZero() {
		digest := sha256.Sum256([]byte(s.EHRLaunch.Token.Reveal()))
		out.LaunchSHA256 = digest[:]
		if s.EHRLaunch.Style != (config.Style{}) {
			style, err := json.Marshal(s.EHRLaunch.Style)
			if err != nil {
				return authz.Source{}, fmt.Errorf("ehr_launch.style: %w", err)
			}
			out.Style = style
		}
	}
	for i, up := range s.StepUp {
		scopes, err := scope.Parse(strings.Join(up.Scopes, " "))
		if err != nil {
			return authz.Source{}, fmt.Errorf("step_up[%d].scopes: %w", i, err)
		}
		out.StepUp = append(out.StepUp, authz.StepUp{Scopes: scopes, Assurance: authz.Assurance{ACR: up.ACR, AMR: up.AMR}})
	}
	return out, nil
}

// chooseProvider draws the choice among the identity providers of a source.
func (w *wiring) chooseProvider(drawn *pages.Pages) login.ChoicePage {
	return func(rw http.ResponseWriter, r *http.Request, source string, choices []login.Choice) error {
		view := pages.ProviderView{Source: source}
		if i := slices.IndexFunc(w.sources, func(s authz.Source) bool { return s.ID == source }); i >= 0 {
			view.Source = w.sources[i].Name
		}
		for _, c := range choices {
			view.Choices = append(view.Choices, pages.ProviderChoice{Name: c.Name, URL: c.URL})
		}
		return drawn.ChooseProvider(rw, r, view)
	}
}
