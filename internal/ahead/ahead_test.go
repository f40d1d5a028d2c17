package ahead_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/portico-fhir/portico/internal/ahead"
)

type body struct {
	io.Reader
	closed bool
}

func (b *body) Close() error {
	b.closed = true
	return nil
}

func TestABodyReadAheadIsTheBody(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), ahead.BodyBytes/16+1)
	cut := errors.New("cut")
	for name, tt := range map[string]struct {
		in    io.Reader
		want  []byte
		err   error
		early bool // closed before anybody reads it
	}{
		"nothing":        {bytes.NewReader(nil), nil, nil, true},
		"small":          {bytes.NewReader(large[:100]), large[:100], nil, true},
		"as large as":    {bytes.NewReader(large[:ahead.BodyBytes]), large[:ahead.BodyBytes], nil, false},
		"larger":         {bytes.NewReader(large), large, nil, false},
		"broken at once": {iotest.ErrReader(cut), nil, cut, false},
		"broken later":   {io.MultiReader(bytes.NewReader(large), iotest.ErrReader(cut)), large, cut, false},
	} {
		b := &body{Reader: tt.in}
		got := ahead.Body(b)
		if b.closed != tt.early {
			t.Errorf("%s: closed early: %v", name, b.closed)
		}
		raw, err := io.ReadAll(got)
		if !bytes.Equal(raw, tt.want) || !errors.Is(err, tt.err) {
			t.Errorf("%s: %d bytes, %v", name, len(raw), err)
		}
		if _ = got.Close(); !b.closed {
			t.Errorf("%s: left open", name)
		}
	}
}

func TestRepliesComeInTheOrderOfTheQuestionsAndOneErrorIsNotAnothers(t *testing.T) {
	odd := errors.New("odd")
	var asks []ahead.Question[int]
	for i := range 9 {
		asks = append(asks, func(context.Context) (int, error) {
			if i%2 == 1 {
				return 0, odd
			}
			return i, nil
		})
	}
	dropped := 0
	n := 0
	for i, one := range ahead.InOrder(t.Context(), asks, ahead.Options[int]{AtOnce: 4, Drop: func(int) { dropped++ }}) {
		if i != n || (i%2 == 1) != errors.Is(one.Err, odd) || one.Err == nil && one.Value != i {
			t.Errorf("%d: %+v", i, one)
		}
		if n++; n == 5 {
			break
		}
	}
	if n != 5 || dropped != 1 { // of 5, 6 and 7 only 6 has something to give up
		t.Errorf("%d replies, %d given up", n, dropped)
	}
}
