package launchtest_test

import (
	"testing"

	"github.com/portico-fhir/portico/smart/launch"
	"github.com/portico-fhir/portico/smart/launch/launchtest"
)

func TestMemory(t *testing.T) {
	launchtest.RunStore(t, func(*testing.T) launch.Store { return &launchtest.Memory{} })
}
