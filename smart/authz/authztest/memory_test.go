package authztest_test

import (
	"slices"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/authz/authztest"
	"github.com/portico-fhir/portico/smart/token"
	"github.com/portico-fhir/portico/smart/token/tokentest"
)

func TestMemoryPassesTheSuite(t *testing.T) {
	t.Parallel()
	authztest.RunPendingStore(t, func(*testing.T) authz.PendingStore { return &authztest.Memory{} })
}

func TestDecisionsInMemoryPassTheSuite(t *testing.T) {
	t.Parallel()
	authztest.RunDecisionStore(t, func(*testing.T) (authz.DecisionStore, token.Store) {
		grants := tokentest.NewMemory()
		return &authztest.Decisions{Good: func(grant string, now time.Time) bool {
			return slices.ContainsFunc(grants.Grants(), func(g token.Grant) bool { return g.ID == grant && now.Before(g.Expires) })
		}}, grants
	})
}

func TestMemoryOfPushedRequests(t *testing.T) {
	authztest.RunPushedStore(t, func(*testing.T) authz.PushedStore { return &authztest.Pushed{} })
}

func TestRefusals(t *testing.T) {
	authztest.RunRefusalStore(t, func(*testing.T) authz.RefusalStore { return &authztest.Refusals{} })
}

func TestAnswers(t *testing.T) {
	authztest.RunAnsweredStore(t, func(*testing.T) authz.AnsweredStore { return &authztest.Answers{} })
}
