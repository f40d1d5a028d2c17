package store_test

import (
	"testing"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/authz/authztest"
	"github.com/portico-fhir/portico/smart/token"
)

func TestDecisionStore(t *testing.T) { forEachDatabase(t, testDecisionStore) }

func testDecisionStore(t *testing.T, on database) {
	authztest.RunDecisionStore(t, func(t *testing.T) (authz.DecisionStore, token.Store) {
		s := on.open(t)
		return s, s
	})
}
