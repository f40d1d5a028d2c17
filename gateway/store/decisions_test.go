package store_test

import (
	"testing"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/authz/authztest"
	"github.com/portico-fhir/portico/smart/token"
)

func TestDecisionStore(t *testing.T) {
	authztest.RunDecisionStore(t, func(t *testing.T) (authz.DecisionStore, token.Store) {
		s := open(t)
		return s, s
	})
}
