package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// form posts to an endpoint of the demo, with a bearer token when there is one.
func form(t *testing.T, target, bearer string, fields url.Values) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(fields.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var body map[string]any
	if err := json.Unmarshal(raw, &body); err != nil {
		t.Fatalf("%s: %d %s", target, resp.StatusCode, raw)
	}
	return resp.StatusCode, body
}

// An app that stays connected: it refreshes with x/oauth2, asks about its token
// and, in the end, gives it back.
func TestAnAppThatStaysConnectedRefreshesAndLetsGo(t *testing.T) {
	d := startDemo(t)
	app := newApp(t, d, "openid", "fhirUser", "launch/patient", "offline_access", "patient/Patient.rs")
	back := newBrowser(t, app.config.RedirectURL).do(http.MethodGet, app.authorizeURL(), nil).signIn("alice").allow().arrived()
	first := app.exchange(t, back)
	patient, _ := first.Extra("patient").(string)
	record := d.url(0) + "/fhir/demo/Patient/" + patient

	current := first
	for range 2 {
		current.Expiry = time.Now().Add(-time.Hour)
		next, err := app.config.TokenSource(t.Context(), current).Token()
		if err != nil {
			t.Fatal(err)
		}
		rawID, _ := next.Extra("id_token").(string)
		if _, err := app.verifier.Verify(t.Context(), rawID); err != nil {
			t.Errorf("id_token after a refresh: %v", err)
		}
		if next.RefreshToken == current.RefreshToken || next.Extra("patient") != patient || next.Extra("scope") != first.Extra("scope") {
			t.Errorf("refreshed: %+v", next)
		}
		if status, _ := fetch(t, record, next.AccessToken); status != http.StatusOK {
			t.Errorf("the record after a refresh: %d", status)
		}
		current = next
	}

	ask := func(token string) map[string]any {
		t.Helper()
		status, body := form(t, d.url(0)+"/oauth/introspect", current.AccessToken, url.Values{"token": {token}})
		if status != http.StatusOK {
			t.Fatalf("introspection: %d %v", status, body)
		}
		return body
	}
	if got := ask(current.AccessToken); got["active"] != true || got["patient"] != patient || got["client_id"] != demoOwnApp || got["scope"] != current.Extra("scope") {
		t.Errorf("its own token: %v", got)
	}
	if got := ask("invalid_token_value"); len(got) != 1 || got["active"] != false {
		t.Errorf("an unknown token: %v", got)
	}

	if status, _ := form(t, d.url(0)+"/oauth/revoke", "", url.Values{"token": {current.RefreshToken}, "client_id": {demoOwnApp}}); status != http.StatusOK {
		t.Errorf("revocation: %d", status)
	}
	if status, _ := fetch(t, record, current.AccessToken); status != http.StatusUnauthorized {
		t.Errorf("the record after revocation: %d", status)
	}
	current.Expiry = time.Now().Add(-time.Hour)
	if _, err := app.config.TokenSource(t.Context(), current).Token(); err == nil {
		t.Error("refreshed after revocation")
	}
}

// Somebody who has an old refresh token ends it for both.
func TestAReusedRefreshTokenEndsTheConnection(t *testing.T) {
	d := startDemo(t)
	app := newApp(t, d, "launch/patient", "offline_access", "patient/Patient.rs")
	back := newBrowser(t, app.config.RedirectURL).do(http.MethodGet, app.authorizeURL(), nil).signIn("alice").allow().arrived()
	first := app.exchange(t, back)
	refresh := func(token string) (*oauth2.Token, error) {
		return app.config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token, Expiry: time.Now().Add(-time.Hour)}).Token()
	}
	second, err := refresh(first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := refresh(first.RefreshToken); err == nil {
		t.Error("a used refresh token was good")
	}
	if _, err := refresh(second.RefreshToken); err == nil {
		t.Error("its successor outlived the reuse")
	}
	patient, _ := first.Extra("patient").(string)
	if status, _ := fetch(t, d.url(0)+"/fhir/demo/Patient/"+patient, second.AccessToken); status != http.StatusUnauthorized {
		t.Errorf("the record after the reuse: %d", status)
	}
}
