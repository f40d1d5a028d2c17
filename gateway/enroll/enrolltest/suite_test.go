package enrolltest_test

import (
	"testing"

	"github.com/portico-fhir/portico/gateway/enroll"
	"github.com/portico-fhir/portico/gateway/enroll/enrolltest"
)

func TestMemoryPassesTheSuite(t *testing.T) {
	enrolltest.RunStore(t, func(*testing.T) enroll.Store { return new(enrolltest.Memory) })
}
