// Package ahead asks several questions a few at a time and gives what came of them
// in the order of the questions, so that whoever answers works on the next ones
// while one is read. It knows neither FHIR nor who is asked.
package ahead

import (
	"bytes"
	"context"
	"io"
	"iter"

	"golang.org/x/sync/semaphore"
)

// BodyBytes is how much of an answer that waits for its turn is in memory.
const BodyBytes = 1 << 20

// Question is something to ask.
type Question[T any] func(context.Context) (T, error)

// Reply is what came of a question.
type Reply[T any] struct {
	Value T
	Err   error
	early bool // it was asked before its turn
}

// Options says how questions are asked.
type Options[T any] struct {
	AtOnce int     // questions that are open, the one whose turn it is included
	Drop   func(T) // gives up what nobody took
	// Few says that the first question is asked alone: its answer may be enough.
	Few bool
	// Places bounds what many callers ask before its turn. What finds no place is
	// asked when its turn comes. Nil: any number.
	Places *semaphore.Weighted
	// Busy says that an error may come of asking for too much at once. What was
	// asked beside others is then asked again, and from there on one by one. Nil:
	// none does.
	Busy func(error) bool
}

// InOrder gives the replies in the order of the questions. Whoever stops, or goes
// away, ends what is open.
func InOrder[T any](ctx context.Context, questions []Question[T], o Options[T]) iter.Seq2[int, Reply[T]] {
	return func(yield func(int, Reply[T]) bool) {
		ctx, cancel := context.WithCancel(ctx)
		early, giveUp := context.WithCancel(ctx)
		defer giveUp()
		l := &line[T]{ctx: ctx, early: early, giveUp: giveUp, questions: questions, o: o, waiting: make([]chan Reply[T], len(questions))}
		defer l.drop()
		defer cancel()
		for i := range questions {
			l.ask(i)
			one := l.take()
			beside := one.early || l.taken < l.asked
			if beside && one.Err != nil && o.Busy != nil && o.Busy(one.Err) && ctx.Err() == nil {
				l.drop()
				l.taken, l.asked, l.o.AtOnce = i, i, 1
				l.ask(i)
				one = l.take()
			}
			if !yield(i, one) {
				return
			}
		}
	}
}

// line is the questions that are open, in order.
type line[T any] struct {
	ctx, early   context.Context
	giveUp       context.CancelFunc // of what is asked early
	questions    []Question[T]
	o            Options[T]
	waiting      []chan Reply[T]
	asked, taken int
}

// ask asks what may be open while the question of that number is answered.
func (l *line[T]) ask(turn int) {
	most := turn + l.o.AtOnce
	if l.o.Few && turn == 0 {
		most = 1
	}
	for ; l.asked < min(len(l.questions), max(most, turn+1)); l.asked++ {
		ctx, early := l.ctx, l.asked > turn
		if early {
			if ctx = l.early; !l.place() {
				return
			}
		}
		into := make(chan Reply[T], 1)
		l.waiting[l.asked] = into
		go func(q Question[T]) {
			value, err := q(ctx)
			if early && l.o.Places != nil {
				l.o.Places.Release(1)
			}
			into <- Reply[T]{value, err, early}
		}(l.questions[l.asked])
	}
}

func (l *line[T]) place() bool { return l.o.Places == nil || l.o.Places.TryAcquire(1) }

// take waits for the reply whose turn it is.
func (l *line[T]) take() Reply[T] {
	l.taken++
	return <-l.waiting[l.taken-1]
}

// drop gives up what is open, and waits for its end.
func (l *line[T]) drop() {
	l.giveUp()
	for l.taken < l.asked {
		if left := l.take(); left.Err == nil && l.o.Drop != nil {
			l.o.Drop(left.Value)
		}
	}
}

// Body takes the beginning of a body, and closes one that ends there: what is
// small holds no connection while it waits.
func Body(body io.ReadCloser) io.ReadCloser {
	head, err := io.ReadAll(io.LimitReader(body, BodyBytes))
	switch {
	case err != nil:
		return begun{io.MultiReader(bytes.NewReader(head), broken{err}), body}
	case len(head) < BodyBytes:
		_ = body.Close()
		return io.NopCloser(bytes.NewReader(head))
	}
	return begun{io.MultiReader(bytes.NewReader(head), body), body}
}

// begun is a body whose beginning is in memory.
type begun struct {
	io.Reader
	io.Closer
}

// broken is the rest of a body that could not be read.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
