package main

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

var grantField = regexp.MustCompile(`name="grant" value="([^"]+)"`)

// stop posts the form of the page of connected apps as some page would.
func (b *browser) stop(d *running, grant, site string) *http.Response {
	b.t.Helper()
	form := url.Values{"source": {"demo"}, "grant": {grant}}
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, d.url(0)+"/oauth/connected/stop", strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", site)
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp
}

func TestPeopleSeeTheirConnectedAppsAndStopThem(t *testing.T) {
	d := startDemo(t)
	connected := d.url(0) + "/oauth/connected"
	app := newApp(t, d, "launch/patient", "offline_access", "patient/Patient.rs", "patient/Observation.rs")
	alice := newBrowser(t, app.config.RedirectURL)
	token := app.exchange(t, alice.do(http.MethodGet, app.authorizeURL(), nil).signIn("alice").allow().arrived())
	patient, _ := token.Extra("patient").(string)
	works := func() bool {
		status, _ := fetch(t, d.url(0)+"/fhir/demo/Patient/"+patient, token.AccessToken)
		return status == http.StatusOK
	}

	// Somebody who is not signed in is asked to, and comes back to the page.
	maria := newBrowser(t, app.config.RedirectURL).do(http.MethodGet, connected, nil).signIn("maria")
	if maria.last.StatusCode != http.StatusOK || !strings.Contains(maria.body, "No app has access") || strings.Contains(maria.body, "Your own app") {
		t.Fatalf("maria sees %d:\n%s", maria.last.StatusCode, maria.body)
	}
	alice.do(http.MethodGet, connected, nil)
	found := grantField.FindStringSubmatch(alice.body)
	if found == nil || !strings.Contains(alice.body, "Your own app") || !strings.Contains(alice.body, "Lab results") {
		t.Fatalf("alice sees:\n%s", alice.body)
	}
	grant := found[1]

	maria.stop(d, grant, "same-origin")
	if !works() {
		t.Fatal("somebody else stopped alice's app")
	}
	if resp := alice.stop(d, grant, "cross-site"); resp.StatusCode < 400 || !works() {
		t.Fatalf("another site stopped the app: %d", resp.StatusCode)
	}
	if resp := alice.stop(d, "nonsense", "same-origin"); resp.StatusCode != http.StatusOK || !works() {
		t.Fatalf("a grant that is none: %d", resp.StatusCode)
	}
	if !works() {
		t.Fatal("the app does not work before it is stopped")
	}
	alice.stop(d, grant, "same-origin")
	if works() {
		t.Error("the access token of a stopped app still works")
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token.RefreshToken}, "client_id": {demoOwnApp}}
	resp, err := http.PostForm(d.url(0)+"/oauth/token", form)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a refresh after the stop answers %d", resp.StatusCode)
	}
	if alice.do(http.MethodGet, connected+"?source=demo&stopped=1", nil); !strings.Contains(alice.body, "The app is stopped") || strings.Contains(alice.body, grant) {
		t.Errorf("afterwards:\n%s", alice.body)
	}
	if alice.do(http.MethodGet, connected+"?source=nowhere", nil); alice.last.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown source: %d", alice.last.StatusCode)
	}
}
