package apps

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/portico-fhir/portico/smart/client"
)

// clockSkew is how far the clock of an issuer may be off.
const clockSkew = time.Minute

// apply checks metadata, with what a software statement says in front, and
// writes it into an app.
func (s *Server) apply(ctx context.Context, a *client.App, m Metadata) error {
	a.Software = ""
	switch {
	case m.Statement != "":
		issuer, claims, err := s.verifyStatement(ctx, m.Statement)
		if err != nil {
			return err
		}
		a.Software = issuer
		// RFC 7591 §2.3: what the statement says takes precedence.
		if err := readMetadata(claims, &m); err != nil {
			return refuse(invalidStatement, "The software statement has metadata of the wrong type.")
		}
	case s.o.MustState:
		return refuse(unapprovedStatement, "A software statement is needed here.")
	}
	return s.fill(a, m)
}

// verifyStatement gives the issuer and the claims of a software statement.
func (s *Server) verifyStatement(ctx context.Context, text string) (string, []byte, error) {
	signed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.ES256, jose.ES384, jose.PS256, jose.PS384})
	if err != nil {
		return "", nil, refuse(invalidStatement, "The software statement is not a JWT signed with RS256, RS384, PS256, PS384, ES256 or ES384.")
	}
	var named struct {
		Issuer string `json:"iss"`
	}
	if err := signed.UnsafeClaimsWithoutVerification(&named); err != nil {
		return "", nil, refuse(invalidStatement, "The claims of the software statement cannot be read.")
	}
	i := slices.IndexFunc(s.o.Statements, func(b Statement) bool { return b.Issuer == named.Issuer })
	if i < 0 {
		return "", nil, refuse(unapprovedStatement, "Software statements of this issuer are not taken here.")
	}
	believed := s.o.Statements[i]
	keys, err := s.o.Keys.Keys(ctx, client.Client{ID: "software statements of " + believed.Issuer, JWKSURI: believed.JWKSURI}, signed.Headers[0].KeyID)
	if errors.Is(err, client.ErrNoKey) {
		return "", nil, refuse(invalidStatement, "The issuer of the software statement has no key of its kid.")
	}
	if err != nil {
		return "", nil, down(err)
	}
	for _, key := range keys {
		var claims jwt.Claims
		var all map[string]any
		if err := signed.Claims(key, &claims, &all); err != nil {
			continue
		}
		return s.checkClaims(believed.Issuer, claims, all)
	}
	return "", nil, refuse(invalidStatement, "The signature of the software statement is wrong.")
}

func (s *Server) checkClaims(issuer string, claims jwt.Claims, all map[string]any) (string, []byte, error) {
	expected := jwt.Expected{Issuer: issuer, Time: s.o.Now()}
	if len(claims.Audience) > 0 {
		expected.AnyAudience = jwt.Audience{s.o.Issuer, s.o.Issuer + pathRegister}
	}
	if err := claims.ValidateWithLeeway(expected, clockSkew); err != nil {
		return "", nil, refuse(invalidStatement, "The software statement is over, not yet good or meant for another server.")
	}
	// A statement must not carry another one, nor keys to be shown as secrets.
	delete(all, "software_statement")
	text, err := jsonv2.Marshal(all)
	if err != nil {
		return "", nil, refuse(invalidStatement, "The claims of the software statement cannot be read.")
	}
	return issuer, text, nil
}
