package store_test

import (
	"testing"

	"github.com/portico-fhir/portico/smart/token/tokentest"
)

func TestConnections(t *testing.T) {
	tokentest.RunConnections(t, func(t *testing.T) tokentest.ConnectionsKeeper { return open(t) })
}
