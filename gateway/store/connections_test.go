package store_test

import (
	"testing"

	"github.com/portico-fhir/portico/smart/token/tokentest"
)

func TestConnections(t *testing.T) { forEachDatabase(t, testConnections) }

func testConnections(t *testing.T, on database) {
	tokentest.RunConnections(t, func(t *testing.T) tokentest.ConnectionsKeeper { return on.open(t) })
}
