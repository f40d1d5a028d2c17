package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/gateway/upstream/connect"
	"github.com/portico-fhir/portico/smart/token"
)

// backendPath is where an EHR finds the keys with which Portico signs in there.
const backendPath = "/.well-known/backend/{source}/jwks.json"

// backendKeys are the keys of all sources that have some.
type backendKeys struct {
	own     *token.Signer         // Portico's, once the store is open
	sources map[string]backendSet // by source
}

type backendSet interface {
	JWKS(ctx context.Context) (jose.JSONWebKeySet, error)
}

// ownKeys is Portico's own signer, which comes to be after those who use it.
type ownKeys struct{ keys *backendKeys }

var _ connect.Signer = ownKeys{}

// Sign implements connect.Signer.
func (o ownKeys) Sign(ctx context.Context, claims any, alg string) (string, error) {
	if o.keys.own == nil {
		return "", errNoBackendKeys
	}
	return o.keys.own.Sign(ctx, claims, alg)
}

// JWKS gives the public keys.
func (o ownKeys) JWKS(ctx context.Context) (jose.JSONWebKeySet, error) {
	if o.keys.own == nil {
		return jose.JSONWebKeySet{}, errNoBackendKeys
	}
	return o.keys.own.JWKS(ctx)
}

// signer gives what a source signs in with; nil: no key.
func (b *backendKeys) signer(s config.Source, log *slog.Logger) (connect.Signer, error) {
	if s.Auth.Key == "" {
		return nil, nil //nolint:nilnil // it has a secret
	}
	if s.Auth.KeyFile == "" {
		b.sources[s.ID] = ownKeys{b}
		return ownKeys{b}, nil
	}
	keys, err := connect.OpenKeys(s.Auth.KeyFile, time.Now, func(err error) {
		log.Error("the new keys for signing in at the EHR cannot be used", "error", cut(err))
	})
	if err != nil {
		return nil, err
	}
	b.sources[s.ID] = keys
	return keys, nil
}

// open makes sure that there are keys of Portico's own, if anybody needs them.
func (b *backendKeys) open(ctx context.Context, keys token.KeyStore, now func() time.Time) (err error) {
	for _, set := range b.sources {
		if _, own := set.(ownKeys); own {
			b.own, err = token.NewSigner(ctx, token.SignerOptions{Keys: keys, Now: now, Rand: rand.Reader, Algs: token.BackendAlgorithms()})
			return err
		}
	}
	return nil
}

// mount serves the public keys of each source that has some (SMART App Launch 2.2,
// "Registering a client": a URL, not the keys themselves, so that they can rotate).
func (b *backendKeys) mount(r *mux.Router, log *slog.Logger) {
	r.HandleFunc(backendPath, func(w http.ResponseWriter, r *http.Request) {
		set, known := b.sources[mux.Vars(r)["source"]]
		if !known {
			http.NotFound(w, r)
			return
		}
		keys, err := set.JWKS(r.Context())
		body, encodeErr := json.Marshal(keys)
		if err != nil || encodeErr != nil {
			log.Error("the keys for signing in at EHRs cannot be read", "error", err)
			http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(body) // a client that hung up needs no answer
	}).Methods(http.MethodGet, http.MethodHead)
}
