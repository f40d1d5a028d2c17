package seal_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/portico-fhir/portico/internal/seal"
)

func secret(fill byte) []byte { return bytes.Repeat([]byte{fill}, seal.KeySize) }

func sealer(t testing.TB, purpose string, keys ...[]byte) *seal.Sealer {
	t.Helper()
	ring, err := seal.NewRing(keys[0], keys[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ring.For(purpose)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOpenRefuses(t *testing.T) {
	s := sealer(t, "cookie", secret(1))
	sealed := s.Seal([]byte("the content"), "name")
	if _, err := s.Open(sealed, "name"); err != nil {
		t.Fatalf("the value itself does not open: %v", err)
	}
	for name, row := range map[string]struct {
		s      *seal.Sealer
		sealed []byte
		bound  string
	}{
		"another purpose with the same key":     {sealer(t, "link", secret(1)), sealed, "name"},
		"a purpose that begins the same":        {sealer(t, "cookien", secret(1)), sealed, "ame"},
		"other bound data":                      {s, sealed, "name2"},
		"no bound data":                         {s, sealed, ""},
		"a key that is gone":                    {sealer(t, "cookie", secret(2)), sealed, "name"},
		"nothing":                               {s, nil, "name"},
		"a header alone":                        {s, sealed[:9], "name"},
		"one byte too few":                      {s, sealed[:len(sealed)-1], "name"},
		"one byte too many":                     {s, append(bytes.Clone(sealed), 0), "name"},
		"the id of another key in the ring":     {sealer(t, "cookie", secret(1), secret(2)), swapID(t, sealed), "name"},
		"a format that does not exist":          {s, append([]byte{2}, sealed[1:]...), "name"},
		"two values, the head of one each":      {s, append(bytes.Clone(sealed[:20]), s.Seal([]byte("the content"), "name")[20:]...), "name"},
		"the smallest length with random bytes": {s, append(bytes.Clone(sealed[:9]), make([]byte, 28)...), "name"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := row.s.Open(row.sealed, row.bound)
			if !errors.Is(err, seal.ErrOpen) || err.Error() != seal.ErrOpen.Error() || got != nil {
				t.Errorf("Open gave %q, %v", got, err)
			}
		})
	}
}

// swapID puts the id of key 2 in front of what key 1 sealed.
func swapID(t *testing.T, sealed []byte) []byte {
	other := sealer(t, "cookie", secret(2)).Seal(nil, "")
	return append(bytes.Clone(other[:9]), sealed[9:]...)
}

func TestEveryChangedBitIsNoticed(t *testing.T) {
	s := sealer(t, "cookie", secret(1), secret(2))
	sealed := s.Seal([]byte("content"), "name")
	for bit := range len(sealed) * 8 {
		changed := bytes.Clone(sealed)
		changed[bit/8] ^= 1 << (bit % 8)
		if _, err := s.Open(changed, "name"); err == nil {
			t.Errorf("bit %d may be changed", bit)
		}
	}
}

func TestTextHasOneSpelling(t *testing.T) {
	s := sealer(t, "cookie", secret(1))
	text := s.SealText([]byte("x"), "name")
	if got, err := s.OpenText(text, "name"); err != nil || string(got) != "x" {
		t.Fatalf("OpenText: %q, %v", got, err)
	}
	for name, other := range map[string]string{
		"line break":   text[:5] + "\n" + text[5:],
		"padding":      text + "=",
		"space":        " " + text,
		"other letter": strings.Replace(text, text[:1], "+", 1),
		"empty":        "",
	} {
		if _, err := s.OpenText(other, "name"); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewestKeySealsAndOlderKeysOpen(t *testing.T) {
	before := sealer(t, "cookie", secret(1))
	after := sealer(t, "cookie", secret(2), secret(1))
	if got, err := after.Open(before.Seal([]byte("old"), "n"), "n"); err != nil || string(got) != "old" {
		t.Errorf("the older key does not open: %q, %v", got, err)
	}
	fresh := after.Seal([]byte("new"), "n")
	if _, err := before.Open(fresh, "n"); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("the older key sealed: %v", err)
	}
	if got, err := sealer(t, "cookie", secret(2)).Open(fresh, "n"); err != nil || string(got) != "new" {
		t.Errorf("the newest key alone does not open: %q, %v", got, err)
	}
}

func TestBadKeysAndPurposesAreRefused(t *testing.T) {
	for name, keys := range map[string][][]byte{
		"none": {nil}, "short": {secret(1)[:31]}, "long": {append(secret(1), 1)},
		"twice": {secret(1), secret(2), secret(1)}, "short second": {secret(1), nil}, "all zero": {secret(0)},
	} {
		if _, err := seal.NewRing(keys[0], keys[1:]...); err == nil {
			t.Errorf("%s: accepted", name)
		} else if bytes.Contains([]byte(err.Error()), secret(1)[:8]) {
			t.Errorf("%s: the key is in the error", name)
		}
	}
	ring, err := seal.NewRing(secret(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.For(""); err == nil {
		t.Error("an empty purpose was accepted")
	}
	if _, err := new(seal.Ring).For("cookie"); err == nil {
		t.Error("a ring without keys was accepted")
	}
}

func TestEverythingSealedOpensAgain(t *testing.T) {
	s := sealer(t, "cookie", secret(1))
	rapid.Check(t, func(t *rapid.T) {
		plain, bound := rapid.SliceOf(rapid.Byte()).Draw(t, "plain"), rapid.String().Draw(t, "bound")
		one, two := s.SealText(plain, bound), s.SealText(plain, bound)
		if one == two {
			t.Fatal("two seals of the same are the same")
		}
		got, err := s.OpenText(one, bound)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("OpenText: %v", err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	s := sealer(f, "cookie", secret(1), secret(2))
	good := s.SealText([]byte("content"), "name")
	f.Add(good, "name")
	f.Add(good[:12], "name")
	f.Add("", "")
	f.Add(strings.Repeat("A", 60), "name")
	f.Fuzz(func(t *testing.T, text, bound string) {
		got, err := s.OpenText(text, bound)
		switch {
		case err == nil && (string(got) != "content" || bound != "name"):
			t.Errorf("%q opened", text)
		case err != nil && !errors.Is(err, seal.ErrOpen):
			t.Errorf("another error: %v", err)
		}
	})
}

func TestSteadyIsTheSameForTheSameAndOpensForNobodyElse(t *testing.T) {
	old, fresh := sealer(t, "file", secret(1)), sealer(t, "file", secret(2), secret(1))
	one := old.SealSteady([]byte("target"), "alice")
	if again := sealer(t, "file", secret(1)).SealSteady([]byte("target"), "alice"); again != one {
		t.Error("the same value looks different")
	}
	for name, other := range map[string]string{
		"another target":  old.SealSteady([]byte("target2"), "alice"),
		"another patient": old.SealSteady([]byte("target"), "alicf"),
		"a moved border":  old.SealSteady([]byte("etarget"), "alic"),
		"another key":     fresh.SealSteady([]byte("target"), "alice"),
		"another purpose": sealer(t, "page", secret(1)).SealSteady([]byte("target"), "alice"),
	} {
		if other == one || other[12:28] == one[12:28] { // the nonce
			t.Errorf("%s looks the same", name)
		}
	}
	for name, row := range map[string]struct {
		s      *seal.Sealer
		sealed string
		bound  string
	}{
		"another patient":    {old, one, "bob"},
		"another purpose":    {sealer(t, "page", secret(1)), one, "alice"},
		"a key that is gone": {sealer(t, "file", secret(2)), one, "alice"},
		"a newer key":        {old, fresh.SealSteady([]byte("target"), "alice"), "alice"},
	} {
		if _, err := row.s.OpenText(row.sealed, row.bound); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("%s: it opens", name)
		}
	}
	for name, s := range map[string]*seal.Sealer{"the same key": old, "an older key": fresh} {
		if got, err := s.OpenText(one, "alice"); err != nil || string(got) != "target" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
