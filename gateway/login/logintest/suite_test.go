package logintest_test

import (
	"testing"

	"github.com/portico-fhir/portico/gateway/login"
	"github.com/portico-fhir/portico/gateway/login/logintest"
)

func TestMemoryPassesTheSuite(t *testing.T) {
	logintest.RunSessionStore(t, func(*testing.T) login.SessionStore { return new(logintest.Memory) })
}
