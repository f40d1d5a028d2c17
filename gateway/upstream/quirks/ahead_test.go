package quirks_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/quirks"
	"github.com/portico-fhir/portico/gateway/upstream/upstreamtest"
	"github.com/portico-fhir/portico/internal/fault"
)

// scripted answers as told, after a while, and notes what it is asked.
type scripted struct {
	answer func(ctx context.Context, path string) (string, error) // Type/id, Type?query or a URL
	after  time.Duration

	mu         sync.Mutex
	asked      []string
	open, most int // questions at once
	unclosed   int
}

func (s *scripted) ask(ctx context.Context, path string) (*upstream.Answer, error) {
	s.mu.Lock()
	s.asked = append(s.asked, path)
	s.open++
	s.most = max(s.most, s.open)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.open--
		s.mu.Unlock()
	}()
	if s.after > 0 {
		select {
		case <-time.After(s.after):
		case <-ctx.Done():
			return nil, fault.New(fault.Unavailable, "The request was given up.")
		}
	}
	body, err := s.answer(ctx, path)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.unclosed++
	s.mu.Unlock()
	return &upstream.Answer{Body: &closing{Reader: strings.NewReader(body), s: s}}, nil
}

type closing struct {
	io.Reader
	s    *scripted
	once sync.Once
}

func (c *closing) Close() error {
	c.once.Do(func() {
		c.s.mu.Lock()
		c.s.unclosed--
		c.s.mu.Unlock()
	})
	return nil
}

func (s *scripted) Read(ctx context.Context, typ, id string) (*upstream.Answer, error) {
	return s.ask(ctx, typ+"/"+id)
}

func (s *scripted) Search(ctx context.Context, typ, query string) (*upstream.Answer, error) {
	plain, err := url.QueryUnescape(query)
	if err != nil {
		return nil, err
	}
	return s.ask(ctx, typ+"?"+plain)
}

func (s *scripted) Next(ctx context.Context, link string) (*upstream.Answer, error) {
	return s.ask(ctx, link)
}

func (s *scripted) Capabilities(context.Context) (*upstream.Capabilities, error) {
	return &upstream.Capabilities{}, nil
}

// counts gives what was asked, in the order of the questions' own text.
func (s *scripted) counts() (asked []string, most, unclosed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.asked)), s.most, s.unclosed
}

func over(t testing.TB, up upstream.Reader, text string, room *quirks.Room) *quirks.Reader {
	t.Helper()
	base, err := fhir.ParseBase("https://ehr.example.org/fhir")
	if err != nil {
		t.Fatal(err)
	}
	p, err := parsed(text)
	if err != nil {
		t.Fatal(err)
	}
	r, err := quirks.New(quirks.Options{Upstream: up, Base: base, Profile: p, Room: room})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func searchset(entries ...string) string {
	return `{"resourceType":"Bundle","type":"searchset","entry":[` + strings.Join(entries, ",") + `]}`
}

func observation(id string, more string) string {
	return `{"resource":{"resourceType":"Observation","id":"` + id + `","subject":{"reference":"Patient/a"}` + more + `},"search":{"mode":"match"}}`
}

func coded(codes ...string) string {
	var list []string
	for _, c := range codes {
		system, code, _ := strings.Cut(c, "|")
		list = append(list, fmt.Sprintf(`{"coding":[{"system":%q,"code":%q}]}`, system, code))
	}
	return `,"category":[` + strings.Join(list, ",") + `]`
}

const sixteen = `
types:
  Observation:
    one_of: [category]
    fan_out: {param: category, values: [s|0, s|1, s|2, s|3, s|4, s|5, s|6, s|7, s|8, s|9, s|10, s|11, s|12, s|13, s|14, s|15]}
`

// value gives what a fan-out asks for.
func value(path string) string {
	_, query, _ := strings.Cut(path, "?")
	q, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	_, code, _ := strings.Cut(q.Get("category"), "|")
	return code
}

// An EHR takes 100 ms for an answer. What is asked beside each other costs one
// round; the clock is the test's own.
func TestWhatIsAskedInPlaceOfOneSearchTakesFewRounds(t *testing.T) {
	var ids []string
	for i := range 40 {
		ids = append(ids, fmt.Sprintf("o%d", i))
	}
	for name, tt := range map[string]struct {
		profile, query string
		asked, rounds  int
	}{
		"16 values":                    {sixteen, "patient=a", 16, 4},
		"a small page, filled by some": {sixteen, "patient=a&_count=2", 6, 2},
		"40 ids, one at a time":        {"search: {one_value: true}", "_id=" + strings.Join(ids, ","), 40, 10},
		"what leads to 200 resources":  {"search: {never: [_revinclude]}", "patient=many&_count=200&_revinclude=Provenance:target", 11, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := &scripted{after: 100 * time.Millisecond, answer: func(_ context.Context, path string) (string, error) {
					switch {
					case strings.HasPrefix(path, "Provenance"):
						return searchset(), nil
					case strings.HasPrefix(path, "Observation/"):
						return `{"resourceType":"Observation","id":"` + strings.TrimPrefix(path, "Observation/") + `"}`, nil
					case strings.Contains(path, "many"):
						var all []string
						for i := range 200 {
							all = append(all, observation(fmt.Sprintf("m%d", i), ""))
						}
						return searchset(all...), nil
					}
					return searchset(observation("o"+value(path), coded("s|"+value(path)))), nil
				}}
				begun := time.Now()
				_, err := firstPage(t, over(t, up, tt.profile, nil), "Observation", tt.query)
				asked, most, unclosed := up.counts()
				if rounds := int(time.Since(begun) / up.after); err != nil || len(asked) != tt.asked || rounds != tt.rounds || most > 4 || unclosed != 0 {
					t.Errorf("%d questions, %d at once, in %d rounds; %d bodies left open: %v", len(asked), most, rounds, unclosed, err)
				}
			})
		})
	}
}

// firstPage gives the names on one page, and where the next one is.
func firstPage(t testing.TB, r upstream.Reader, typ, query string) (names []string, err error) {
	t.Helper()
	answer, err := r.Search(t.Context(), typ, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	reader := fhir.NewBundleReader(answer.Body, 32<<20)
	for {
		e, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return names, err
		}
		if e.Resource != nil {
			names = append(names, e.Resource.Type()+"/"+e.Resource.ID())
		}
	}
}

func TestWhateverAnswersFirstTheOrderIsThatOfTheValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &scripted{answer: func(_ context.Context, path string) (string, error) {
			n := len(value(path)) * int(value(path)[0]) // other than the order
			time.Sleep(time.Duration(1000-n) * time.Millisecond)
			return searchset(observation("o"+value(path), coded("s|"+value(path)))), nil
		}}
		for _, count := range []string{"", "&_count=3"} {
			got, err := upstreamtest.All(t.Context(), over(t, up, sixteen, nil), "Observation", "patient=a"+count)
			var want []string
			for i := range 16 {
				want = append(want, fmt.Sprintf("Observation/o%d", i))
			}
			if err != nil || !slices.Equal(got.Matches, want) {
				t.Errorf("%v %v", got.Matches, err)
			}
		}
	})
}

func TestTheFirstErrorEndsAllThatIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &scripted{after: 100 * time.Millisecond}
		up.answer = func(_ context.Context, path string) (string, error) {
			if value(path) == "2" {
				return "", fault.New(fault.Upstream, "The record system failed.")
			}
			return searchset(observation("o"+value(path), "")), nil
		}
		_, err := firstPage(t, over(t, up, sixteen, nil), "Observation", "patient=a")
		asked, _, unclosed := up.counts()
		if fault.KindOf(err) != fault.Upstream || len(asked) > 6 || unclosed != 0 {
			t.Errorf("%v after %d questions, %d bodies left open", err, len(asked), unclosed)
		}
	})
}

func TestAPageThatFailsIsNoEndOfTheResults(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Upstream, fault.Invalid, fault.NotFound, fault.Unavailable} {
		up := &scripted{answer: func(_ context.Context, path string) (string, error) {
			if strings.HasPrefix(path, "https:") {
				return "", fault.New(kind, "It is no more.")
			}
			return strings.TrimSuffix(searchset(observation("o"+value(path), coded("s|"+value(path)))), "}") +
				`,"link":[{"relation":"next","url":"https://ehr.example.org/fhir?page=` + value(path) + `"}]}`, nil
		}}
		for _, text := range []string{sixteen, "search: {modifiers: drop}"} {
			if names, err := firstPage(t, over(t, up, text, nil), "Observation", "patient=a"); fault.KindOf(err) != kind {
				t.Errorf("%d results: %v", len(names), err)
			}
		}
	}
}

func TestWhoeverGoesAwayEndsWhatIsAskedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &scripted{after: time.Hour, answer: func(_ context.Context, path string) (string, error) {
			return searchset(observation("o"+value(path), "")), nil
		}}
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := over(t, up, sixteen, nil).Search(ctx, "Observation", "patient=a")
		if asked, _, unclosed := up.counts(); err == nil || len(asked) != 4 || unclosed != 0 || time.Since(begun) != time.Second {
			t.Errorf("%v: %d questions, %d bodies left open", err, len(asked), unclosed)
		}
		// Half of a page is read.
		up.after = 0
		answer, err := over(t, up, sixteen, nil).Search(t.Context(), "Observation", "patient=a")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = answer.Body.Read(make([]byte, 10))
		_ = answer.Body.Close()
		synctest.Wait()
		if _, _, unclosed := up.counts(); unclosed != 0 {
			t.Errorf("%d bodies left open", unclosed)
		}
	})
}

// An EHR that takes one question at a time, as one with `limits.concurrent: 1`.
func TestWhatIsRefusedBecauseItWasTooMuchAtOnceIsAskedInItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := make(chan struct{}, 1)
		up := &scripted{answer: func(_ context.Context, path string) (string, error) {
			select {
			case busy <- struct{}{}:
				defer func() { <-busy }()
			default:
				return "", fault.New(fault.TooMany, "The record system gets as many requests as it may now.")
			}
			time.Sleep(100 * time.Millisecond)
			return searchset(observation("o"+value(path), coded("s|"+value(path)))), nil
		}}
		names, err := firstPage(t, over(t, up, sixteen, nil), "Observation", "patient=a")
		if asked, _, unclosed := up.counts(); err != nil || len(names) != 16 || len(asked) > 16+4 || unclosed != 0 {
			t.Errorf("%d results of %d questions: %v", len(names), len(asked), err)
		}
	})
}

func TestAllSearchesTogetherAskOnlySoMuchAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &scripted{after: 100 * time.Millisecond, answer: func(_ context.Context, path string) (string, error) {
			return searchset(observation("o"+value(path), coded("s|"+value(path)))), nil
		}}
		r := over(t, up, sixteen, nil)
		var all sync.WaitGroup
		for range 40 {
			all.Go(func() {
				if names, err := firstPage(t, r, "Observation", "patient=a"); err != nil || len(names) != 16 {
					t.Errorf("%d %v", len(names), err)
				}
			})
		}
		all.Wait()
		if asked, most, _ := up.counts(); len(asked) != 40*16 || most > 40+32 {
			t.Errorf("%d questions, %d at once", len(asked), most)
		}
	})
}
