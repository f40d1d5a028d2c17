package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream/connect"
	"github.com/portico-fhir/portico/gateway/upstream/fhirserver"
	"github.com/portico-fhir/portico/gateway/upstream/profiles"
	"github.com/portico-fhir/portico/gateway/upstream/resilience"
	"github.com/portico-fhir/portico/internal/rate"
)

// tokenTimeout is how long a token endpoint may take.
const tokenTimeout = 10 * time.Second

// connect makes the connector to one source's EHR: what asks, then what bounds
// and repeats, then what signs in and connects. Nothing of it is another source's.
func (w *wiring) connect(s config.Source, base fhir.Base, p *profiles.Profile) (*fhirserver.Server, error) {
	log := w.log.With("source", s.ID)
	secure, err := clientTLS(s.TLS, log)
	if err != nil {
		return nil, err
	}
	signed := connect.Options{
		Base: base, Next: connect.NewTransport(s.Timeout, secure),
		// Neither the certificate nor the authority of this EHR is for anybody else.
		Elsewhere: connect.NewTransport(s.Timeout, nil),
	}
	var places []fhir.Base
	for _, a := range s.Attachments {
		place, err := fhir.ParseBase(a.URL)
		if err != nil {
			return nil, err
		}
		if places = append(places, place); a.Credentials {
			signed.Also = append(signed.Also, place)
		}
	}
	for _, h := range s.Headers {
		signed.Headers = append(signed.Headers, connect.Header{Name: h.Name, Value: h.Value.Reveal()})
	}
	if signed.Credential, err = w.credential(s, signed, secure, log); err != nil {
		return nil, err
	}
	way, err := connect.New(signed)
	if err != nil {
		return nil, err
	}
	seen, err := w.watched(s.ID, base, way)
	if err != nil {
		return nil, err
	}
	limits := limitsOf(s)
	limits.Next, limits.Turns = seen, w.turns(s)
	limits.Rate = rate.Limit{PerSecond: float64(s.Limits.PerSecond), Burst: s.Limits.Burst}
	ways, err := resilience.New(limits)
	if err != nil {
		return nil, err
	}
	elsewhere, err := w.outside(s, base, places)
	if err != nil {
		return nil, err
	}
	w.ways[s.ID] = ways
	o := fhirserver.Options{Base: base, Timeout: s.Timeout, Transport: ways, Outside: elsewhere, Accept: p.HTTP.Accept, MediaTypes: p.HTTP.MediaTypes}
	for i, a := range s.Attachments {
		o.Places = append(o.Places, fhirserver.Place{Base: places[i], Credentials: a.Credentials})
	}
	w.attachments[s.ID] = places
	connector, err := fhirserver.New(o)
	if err == nil {
		w.files[s.ID] = connector
		if w.watch.silent[s.ID] = p.Metadata == profiles.Absent; !w.watch.silent[s.ID] {
			w.watch.asks[s.ID] = connector.Recheck
		}
	}
	return connector, err
}

// clientTLS is how a source's connections are secured; nil: as usual.
func clientTLS(c config.SourceTLS, log *slog.Logger) (*tls.Config, error) {
	if c == (config.SourceTLS{}) {
		return nil, nil //nolint:nilnil // nothing is asked for
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		text, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		// In place of the system's: an EHR with an authority of its own is then
		// safe from all the others.
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("tls: there is no certificate in %s; it must be a PEM file", c.CAFile)
		}
	}
	if c.CertFile != "" {
		certs := &certificates{certFile: c.CertFile, keyFile: c.KeyFile, now: time.Now, log: log}
		if err := certs.load(); err != nil {
			return nil, err
		}
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certs.get(nil) }
	}
	return out, nil
}

// credential is what a source's EHR asks for; nil for nothing.
func (w *wiring) credential(s config.Source, at connect.Options, secure *tls.Config, log *slog.Logger) (connect.Credential, error) {
	switch s.Auth.Type {
	case config.AuthBasic:
		return connect.Basic(s.Auth.Username, s.Auth.Password.Reveal()), nil
	case config.AuthBearer:
		return connect.Bearer(s.Auth.Token.Reveal()), nil
	case config.AuthClient:
	default:
		return nil, nil //nolint:nilnil // nothing is asked for
	}
	unsigned, err := connect.New(connect.Options{Base: at.Base, Next: at.Next, Headers: at.Headers})
	if err != nil {
		return nil, err
	}
	o := connect.ClientOptions{
		TokenURL: s.Auth.TokenURL, Discover: unsigned, Base: at.Base, Next: connect.NewTransport(tokenTimeout, secure),
		ClientID: s.Auth.ClientID, Scopes: s.Auth.Scopes, Secret: s.Auth.ClientSecret.Reveal(), InBody: s.Auth.SecretIn == config.SecretInBody, Alg: s.Auth.Alg,
	}
	if o.Signer, err = w.backend.signer(s, log); err != nil {
		return nil, err
	}
	fetch, err := connect.NewFetcher(o)
	if err != nil {
		return nil, err
	}
	tokens, err := connect.NewTokens(connect.TokensOptions{Fetch: fetch, Report: func(err error) {
		log.Warn("there is no token for the EHR", "error", cut(err), "check", "auth of this source, and that the EHR's authorization server knows Portico")
	}})
	if err != nil {
		return nil, err
	}
	w.closers = append(w.closers, tokens.Close)
	return tokens, nil
}

// closeAll ends what the connections do by themselves.
func (w *wiring) closeAll() {
	for _, end := range w.closers {
		end()
	}
}

var errNoBackendKeys = errors.New("portico: there are no keys to sign in with yet")
