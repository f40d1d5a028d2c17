package authztest_test

import (
	"testing"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/authz/authztest"
)

func TestMemoryPassesTheSuite(t *testing.T) {
	t.Parallel()
	authztest.RunPendingStore(t, func(*testing.T) authz.PendingStore { return &authztest.Memory{} })
}
