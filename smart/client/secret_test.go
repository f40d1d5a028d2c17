package client_test

import (
	"crypto/rand"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/client"
)

// Whoever tries wrong secrets in a client's name does not keep it out.
func TestWrongSecretsDoNotKeepTheClientWaiting(t *testing.T) {
	t.Parallel()
	secret, hash, err := client.NewSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := client.Client{ID: "c", Auth: client.SecretBasic, SecretHash: hash}
	if !c.CheckSecret(secret) {
		t.Fatal("its own secret is refused")
	}
	const wrong = 64
	var tried atomic.Int32
	var wg, begun sync.WaitGroup
	begun.Add(wrong)
	for range wrong {
		wg.Go(func() {
			begun.Done()
			if c.CheckSecret(strings.Repeat("x", len(secret))) {
				t.Error("a wrong secret is good")
			}
			tried.Add(1)
		})
	}
	begun.Wait()
	time.Sleep(100 * time.Millisecond) // until they stand in line
	if !c.CheckSecret(secret) {
		t.Error("its own secret is refused the second time")
	}
	if n := tried.Load(); n >= wrong/2 {
		t.Errorf("it waited for %d of %d", n, wrong)
	}
	wg.Wait()
	// What was good for one hash is good for no other.
	_, other, err := client.NewSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SecretHash = other
	if c.CheckSecret(secret) {
		t.Error("the secret is good after it was replaced")
	}
}
