package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/smart/client"
)

// OfUsableClients gives a store whose access tokens are good only while the
// client they were given to may be used: a token of an app that is suspended,
// sent back to review or deleted stops at once, wherever it is looked up.
func OfUsableClients(s Store, clients client.Registry) Store {
	return usable{Store: s, clients: clients}
}

type usable struct {
	Store
	clients client.Registry
}

// Access implements Store.
func (u usable) Access(ctx context.Context, d Digest, now time.Time) (Access, Grant, error) {
	a, g, err := u.Store.Access(ctx, d, now)
	if err != nil {
		return Access{}, Grant{}, err
	}
	switch _, err := u.clients.Client(ctx, g.Client); {
	case errors.Is(err, client.ErrUnknown):
		return Access{}, Grant{}, ErrNotFound
	case err != nil:
		return Access{}, Grant{}, fmt.Errorf("look up the client of a token: %w", err)
	}
	return a, g, nil
}
