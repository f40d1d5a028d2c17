package authz

import (
	"net/http"
)

// serveJWKS gives the public keys that verify id_tokens: bare keys, without
// certificates (SMART App Launch 2.2, requirement 207).
func (s *Server) serveJWKS(w http.ResponseWriter, r *http.Request) error {
	set, err := s.o.Signer.JWKS(r.Context())
	if err != nil {
		return unavailable(err, "serve the JWKS")
	}
	return serveDocument(w, r, set)
}
