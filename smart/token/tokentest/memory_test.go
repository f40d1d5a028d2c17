package tokentest_test

import (
	"testing"

	"github.com/portico-fhir/portico/smart/token"
	"github.com/portico-fhir/portico/smart/token/tokentest"
)

func TestMemoryConnections(t *testing.T) {
	tokentest.RunConnections(t, func(*testing.T) tokentest.ConnectionsKeeper { return tokentest.NewMemory() })
}

func TestMemoryPassesTheSuite(t *testing.T) {
	t.Parallel()
	tokentest.RunStore(t, func(*testing.T) token.Store { return tokentest.NewMemory() })
	tokentest.RunRefreshStore(t, func(*testing.T) tokentest.RefreshKeeper { return tokentest.NewMemory() })
	tokentest.RunAccessStore(t, func(*testing.T) tokentest.AccessKeeper { return tokentest.NewMemory() })
	tokentest.RunKeyStore(t, func(*testing.T) token.KeyStore { return tokentest.NewMemory() })
}
