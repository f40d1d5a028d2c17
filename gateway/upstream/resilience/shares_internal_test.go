package resilience

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"
)

func TestAPartyIsForgottenWhenItHoldsNothing(t *testing.T) {
	s := newShares(2)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	var held []func()
	for i := range 5 {
		leave, err := s.enter(t.Context(), strconv.Itoa(i), 0)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, leave)
	}
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			ctx, most := t.Context(), 20*time.Second
			switch i % 10 {
			case 0:
				most = 0
			case 1:
				ctx = gone
			}
			if leave, err := s.enter(ctx, strconv.Itoa(i%5), most); err == nil {
				leave()
			}
		})
	}
	all.Wait()
	if len(s.of) != 5 {
		t.Errorf("%d parties are known of 5 that hold a place", len(s.of))
	}
	for _, leave := range held {
		leave()
	}
	if len(s.of) != 0 {
		t.Errorf("%d parties are still known", len(s.of))
	}
}
