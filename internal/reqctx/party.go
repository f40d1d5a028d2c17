package reqctx

import "context"

type partyKey struct{}

// WithParty says on whose behalf is done what is done under the context. The key
// is opaque: whoever shares something out compares it and reads nothing in it.
func WithParty(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, partyKey{}, key)
}

// Party gives the key of WithParty, "" for what Portico does by itself.
func Party(ctx context.Context) string {
	key, _ := ctx.Value(partyKey{}).(string)
	return key
}
