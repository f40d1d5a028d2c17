package login_test

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/login"
	"github.com/portico-fhir/portico/gateway/login/logintest"
	"github.com/portico-fhir/portico/internal/seal"
)

func TestImpossibleOptionsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*login.Options){
		"no public URL":             func(o *login.Options) { o.PublicURL = "" },
		"relative public URL":       func(o *login.Options) { o.PublicURL = "/x" },
		"public URL with slash":     func(o *login.Options) { o.PublicURL += "/" },
		"public URL with query":     func(o *login.Options) { o.PublicURL += "?x" },
		"another scheme":            func(o *login.Options) { o.PublicURL = "ftp://x" },
		"Secure over http":          func(o *login.Options) { o.PublicURL = "http://localhost:8080" },
		"https without Secure":      func(o *login.Options) { o.Secure = false },
		"no sessions":               func(o *login.Options) { o.Sessions = nil },
		"no enroller":               func(o *login.Options) { o.Enroller = nil },
		"no keys":                   func(o *login.Options) { o.Seal = nil },
		"empty ring":                func(o *login.Options) { o.Seal = new(seal.Ring) },
		"no page":                   func(o *login.Options) { o.Problem = nil },
		"no clock":                  func(o *login.Options) { o.Now = nil },
		"no randomness":             func(o *login.Options) { o.Rand = nil },
		"no idle limit":             func(o *login.Options) { o.Idle = 0 },
		"idle over absolute":        func(o *login.Options) { o.Idle = o.Absolute + 1 },
		"no page for signing out":   func(o *login.Options) { o.SignOut = nil },
		"no providers":              func(o *login.Options) { o.Providers = nil },
		"provider twice":            func(o *login.Options) { o.Providers = append(o.Providers, o.Providers[0]) },
		"provider without id":       func(o *login.Options) { o.Providers[0].ID = "" },
		"provider id with space":    func(o *login.Options) { o.Providers[0].ID = "a b" },
		"issuer without host":       func(o *login.Options) { o.Providers[0].Issuer = "https://" },
		"issuer with query":         func(o *login.Options) { o.Providers[0].Issuer += "?x=1" },
		"issuer of another scheme":  func(o *login.Options) { o.Providers[0].Issuer = "file:///x" },
		"no client id":              func(o *login.Options) { o.Providers[0].ClientID = "" },
		"provider without a source": func(o *login.Options) { o.Providers[0].Sources = nil },
		"several and no page to choose": func(o *login.Options) {
			p := o.Providers[0]
			p.ID = "b"
			o.Providers = append(o.Providers, p)
		},
		"provider with no-name": func(o *login.Options) { o.Providers[0].Sources = []string{""} },
	} {
		o := possible(t)
		change(&o)
		if _, err := login.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the secret is in the error", name)
		}
	}
	if _, err := login.New(possible(t)); err != nil {
		t.Errorf("good options: %v", err)
	}
}

func possible(t *testing.T) login.Options {
	t.Helper()
	ring, err := seal.NewRing(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return login.Options{
		PublicURL: "https://portico.example.org", Secure: true, Sessions: new(logintest.Memory), Enroller: &enroller{}, Seal: ring,
		SignOut: func(http.ResponseWriter, *http.Request, login.SignOutView) error { return nil },
		Problem: login.ProblemFunc(func(http.ResponseWriter, *http.Request, login.Failure) error { return nil }),
		Now:     time.Now, Rand: rand.Reader, Idle: time.Minute, Absolute: time.Hour,
		Providers: []login.Provider{{ID: "a", Issuer: "https://id.example.org", ClientID: "c", ClientSecret: "s3cret", Sources: []string{"north"}}},
	}
}
