package main

import (
	"net/http"
	"strings"

	"github.com/portico-fhir/portico/config"
	sampleapp "github.com/portico-fhir/portico/internal/demo/app"
	"github.com/portico-fhir/portico/internal/demo/records"
	"github.com/portico-fhir/portico/internal/demo/screen"
)

// demoScreen puts the EHR's screen in front of its FHIR server and lets that EHR
// launch apps. Without a clinician, or without patients of their own record,
// there is no screen.
func demoScreen(at *demoPorts, cfg *config.Config, cast *records.Cast, token string, hospital http.Handler) (http.Handler, error) {
	cfg.Sources[0].EHRLaunch = config.EHRLaunch{Token: config.NewSecret(token), Style: config.Style{
		ColorBackground: "#f4f1ea", ColorHighlight: "#14507a", ColorText: "#202020", DimBorderRadius: "6px", FontFamilyBody: "system-ui, sans-serif",
	}}
	var patients []screen.Patient
	for _, p := range cast.People {
		for _, user := range p.FHIRUser {
			if id, ok := strings.CutPrefix(user, "Patient/"); ok && len(patients) < demoOnList {
				patients = append(patients, screen.Patient{ID: id, Name: p.Name})
			}
		}
	}
	if len(cast.Clinicians) == 0 || len(patients) == 0 {
		return hospital, nil
	}
	doctor := cast.Clinicians[0]
	page, err := screen.Handler(screen.Options{
		Name: demoName, Clinician: doctor.Name + " (" + doctor.Login + ")", User: doctor.FHIRUser[0], Patients: patients,
		FHIRBase: at.url(1) + "/fhir", LaunchURL: at.url(0) + "/ehr/launch", Token: token,
		App: "Pocket Record", AppURL: at.url(3) + sampleapp.LaunchPath, ClientID: demoClient,
	})
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fhir" || strings.HasPrefix(r.URL.Path, "/fhir/") {
			hospital.ServeHTTP(w, r)
			return
		}
		page.ServeHTTP(w, r)
	}), nil
}
