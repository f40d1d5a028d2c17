package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// fromEHR presses a patient's button on the EHR's screen and gives the patient
// and what the app's launch URI was opened with.
func fromEHR(t *testing.T, d *running, b *browser) (patient string, opened url.Values) {
	t.Helper()
	b.app = d.url(3)
	b.do(http.MethodGet, d.url(1), nil)
	m := regexp.MustCompile(`name="patient" value="([^"]+)"`).FindStringSubmatch(b.body)
	if m == nil {
		t.Fatalf("no patients on the screen:\n%s", b.body)
	}
	b.do(http.MethodPost, d.url(1)+"/launch", url.Values{"patient": {m[1]}})
	opened = b.arrived()
	if opened.Get("iss") != d.url(0)+"/fhir/demo" || opened.Get("launch") == "" {
		t.Fatalf("the app was opened with %v", opened)
	}
	return m[1], opened
}

func TestAClinicianLaunchesAnAppFromTheEHRInTheDemo(t *testing.T) {
	d := startDemo(t)
	b := newBrowser(t, d.url(3))
	patient, opened := fromEHR(t, d, b)
	app := newApp(t, d, "launch", "openid", "fhirUser", "launch/encounter", "user/Patient.rs", "user/Observation.rs", "user/Practitioner.rs")
	app.config.ClientID, app.config.RedirectURL = demoClient, d.url(3)+"/app.html"
	authorize := app.authorizeURL() + "&launch=" + url.QueryEscape(opened.Get("launch"))
	b.do(http.MethodGet, authorize, nil).signIn("doctor").allow()
	token := app.exchange(t, b.arrived())
	if token.Extra("patient") != patient || token.Extra("need_patient_banner") != true || token.Extra("intent") != "show-record" {
		t.Errorf("patient %v, banner %v, intent %v", token.Extra("patient"), token.Extra("need_patient_banner"), token.Extra("intent"))
	}
	style, _ := token.Extra("smart_style_url").(string)
	if status, body := fetch(t, style, ""); status != http.StatusOK || !json.Valid([]byte(body)) || !strings.Contains(body, "color_background") {
		t.Errorf("style %s: %d %s", style, status, body)
	}
	base := d.url(0) + "/fhir/demo/"
	encounter, _ := token.Extra("encounter").(string)
	for path, want := range map[string]int{
		"Patient/" + patient: 200, "Observation?_count=1": 200, "Patient/someone-else": 404, "Condition": 403,
	} {
		if status, _ := fetch(t, base+path, token.AccessToken); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	for _, other := range othersIn(t, d, patient) {
		if status, _ := fetch(t, base+"Patient/"+other, token.AccessToken); status != http.StatusNotFound {
			t.Errorf("another patient, %s: %d", other, status)
		}
		if status, _ := fetch(t, base+"Observation?patient="+other, token.AccessToken); status == http.StatusOK {
			t.Errorf("observations of another patient, %s: %d", other, status)
		}
	}
	if encounter == "" {
		t.Error("no encounter came with the launch")
	}
	rawID, _ := token.Extra("id_token").(string)
	claims := claimsOf(t, rawID)
	user, _ := claims["fhirUser"].(string)
	if !strings.HasPrefix(user, base+"Practitioner/") {
		t.Fatalf("fhirUser %q", user)
	}
	if status, body := fetch(t, user, token.AccessToken); status != http.StatusOK || !strings.Contains(body, `"resourceType":"Practitioner"`) {
		t.Errorf("fhirUser is not readable: %d", status)
	}
	// The handle is used up.
	again := newBrowser(t, d.url(3)).do(http.MethodGet, authorize, nil).arrived()
	if again.Get("error") != "invalid_request" {
		t.Errorf("a second use: %v", again)
	}
}

// othersIn gives patients of the demo other than this one.
func othersIn(t *testing.T, d *running, patient string) []string {
	t.Helper()
	_, body := fetch(t, d.url(1)+"/fhir/Patient?_count=5", "")
	var ids []string
	for _, m := range regexp.MustCompile(`"resourceType":"Patient","id":"([^"]+)"`).FindAllStringSubmatch(body, -1) {
		if m[1] != patient && !slices.Contains(ids, m[1]) {
			ids = append(ids, m[1])
		}
	}
	if len(ids) < 2 {
		t.Fatalf("the demo has no other patients: %v", ids)
	}
	return ids
}

func claimsOf(t *testing.T, raw string) map[string]any {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("no id_token: %q", raw)
	}
	var claims map[string]any
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestAClinicianWithoutALaunchAndAPatientWithAnothersLaunchGetNothing(t *testing.T) {
	d := startDemo(t)
	app := newApp(t, d, "openid", "launch/patient", "user/*.rs")
	b := newBrowser(t, app.config.RedirectURL).do(http.MethodGet, app.authorizeURL(), nil).signIn("doctor")
	if b.last.StatusCode != http.StatusForbidden || strings.Contains(b.body, `value="allow"`) {
		t.Errorf("a clinician without a launch: %d", b.last.StatusCode)
	}

	other := newBrowser(t, d.url(3))
	_, opened := fromEHR(t, d, other)
	app = newApp(t, d, "openid", "launch", "patient/*.rs")
	app.config.ClientID, app.config.RedirectURL = demoClient, d.url(3)+"/app.html"
	back := other.do(http.MethodGet, app.authorizeURL()+"&launch="+url.QueryEscape(opened.Get("launch")), nil).signIn("walter").arrived()
	if back.Get("error") != "access_denied" || back.Has("code") {
		t.Errorf("a patient with a launch of a clinician: %v", back)
	}
}

func TestTheDemosEHRTakesLaunchesWithItsOwnCredentialOnly(t *testing.T) {
	d := startDemo(t)
	for name, bearer := range map[string]string{"none": "", "a guess": "guess"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url(0)+"/ehr/launch", strings.NewReader(`{"patient":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
}

// A request may be pushed first; the browser then carries no parameter of it.
func TestPushedRequestsInTheDemo(t *testing.T) {
	d := startDemo(t)
	app := newApp(t, d, "openid", "launch/patient", "patient/Observation.rs")
	u, err := url.Parse(app.authorizeURL())
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.PostForm(d.url(0)+"/oauth/par", u.Query())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var pushed struct {
		RequestURI string `json:"request_uri"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&pushed); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%d, %v", resp.StatusCode, err)
	}
	q := url.Values{"client_id": {demoOwnApp}, "request_uri": {pushed.RequestURI}}
	back := newBrowser(t, app.config.RedirectURL).do(http.MethodGet, d.url(0)+"/oauth/authorize?"+q.Encode(), nil).signIn("alice").allow().arrived()
	if token := app.exchange(t, back); token.Extra("patient") == "" {
		t.Errorf("%+v", token)
	}
}

// prompt=login sends somebody who is signed in to the provider again, and the
// app learns when; signing out signs out there too.
func TestSigningInAgainAndOutInTheDemo(t *testing.T) {
	d := startDemo(t)
	app := newApp(t, d, "openid", "launch/patient", "patient/Observation.rs")
	b := newBrowser(t, app.config.RedirectURL).do(http.MethodGet, app.authorizeURL(), nil).signIn("alice").allow()
	app.exchange(t, b.arrived())
	b.do(http.MethodGet, app.authorizeURL(), nil)
	if !strings.Contains(b.body, `name="decision"`) {
		t.Fatalf("asked to sign in again without need: %s", b.last.Request.URL)
	}
	for _, demand := range []string{"&prompt=login", "&max_age=0", "&prompt=select_account"} {
		b.do(http.MethodGet, app.authorizeURL()+demand+"&login_hint=alice", nil)
		if !strings.Contains(b.body, `name="password"`) || !strings.Contains(b.body, `value="alice"`) {
			t.Fatalf("%s does not lead to the provider with the hint: %s", demand, b.last.Request.URL)
		}
		token := app.exchange(t, b.signIn("alice").allow().arrived())
		rawID, _ := token.Extra("id_token").(string)
		if claims := claimsOf(t, rawID); claims["auth_time"] == nil {
			t.Errorf("%s: no auth_time in %v", demand, claims)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url(0)+"/logout", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	next := strings.TrimPrefix(resp.Header.Get("Refresh"), "0; url=")
	if !strings.HasPrefix(next, d.url(2)+"/end_session?") {
		t.Fatalf("goes on at %q", next)
	}
	b.do(http.MethodGet, next, nil)
	if at := b.last.Request.URL.String(); at != d.url(0)+"/logout" || !strings.Contains(b.body, "You are signed out") {
		t.Errorf("ended at %s", at)
	}
	if b.do(http.MethodGet, app.authorizeURL(), nil); !strings.Contains(b.body, `name="password"`) {
		t.Error("still signed in")
	}
}
