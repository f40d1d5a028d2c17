package audittest_test

import (
	"testing"

	"github.com/portico-fhir/portico/gateway/audit/audittest"
)

func TestMemoryPassesTheSuite(t *testing.T) {
	audittest.RunSink(t, func(*testing.T) audittest.Keeper { return new(audittest.Memory) })
}
