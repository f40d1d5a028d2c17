package main

import (
	"crypto/sha256"
	"fmt"
	"os"

	"github.com/portico-fhir/portico/config"
	"github.com/portico-fhir/portico/smart/client"
)

// credentialsOf gives a configured client what it proves itself with. A secret
// of the configuration is long and random, so its plain digest is enough; those
// that Portico makes and keeps itself are kept as argon2id.
func credentialsOf(c config.Client, out *client.Client) error {
	out.IDTokenAlg, out.Introspects = c.IDTokenAlg, c.Introspects
	switch {
	case c.Type != config.ClientConfidential:
	case c.JWKSFile != "":
		keys, err := os.ReadFile(c.JWKSFile)
		if err != nil {
			return fmt.Errorf("client %s: %w", c.ID, err)
		}
		out.Auth, out.JWKS = client.PrivateKeyJWT, keys
	case c.JWKSURI != "":
		out.Auth, out.JWKSURI = client.PrivateKeyJWT, c.JWKSURI
	default:
		digest := sha256.Sum256([]byte(c.Secret.Reveal()))
		out.Auth, out.SecretSHA256 = client.SecretBasic, digest[:]
	}
	return nil
}
