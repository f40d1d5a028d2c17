package clienttest_test

import (
	"testing"

	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/client/clienttest"
)

func TestMemory(t *testing.T) {
	clienttest.RunStore(t, func(*testing.T) client.Store { return &clienttest.Memory{} })
}
