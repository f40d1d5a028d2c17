package gateway

import (
	"bytes"
	"context"
	"io"
	"iter"

	"github.com/portico-fhir/portico/gateway/upstream"
)

const (
	aheadAtOnce = 4       // questions that are open at the upstream for one answer
	aheadBytes  = 1 << 20 // of each answer that waits its turn, what is read into memory
)

// question is something to ask of the upstream.
type question func(context.Context) (*upstream.Answer, error)

// reply is what came of a question.
type reply struct {
	answer *upstream.Answer
	err    error
}

// inOrder asks questions a few at a time and gives the replies in the order of the
// questions: the upstream works on the next ones while one is read. Memory is
// bounded by what waits. Who stops, or goes away, ends what is open.
func (x *exchange) inOrder(questions []question) iter.Seq2[int, reply] {
	return func(yield func(int, reply) bool) {
		ctx, cancel := context.WithCancel(x.ctx)
		waiting := make([]chan reply, len(questions))
		asked, taken := 0, 0
		defer func() {
			cancel()
			for ; taken < asked; taken++ {
				if left := <-waiting[taken]; left.answer != nil {
					_ = left.answer.Body.Close()
				}
			}
		}()
		for i := range questions {
			for ; asked < len(questions) && asked < i+aheadAtOnce; asked++ {
				waiting[asked] = make(chan reply, 1)
				go ask(ctx, questions[asked], waiting[asked])
			}
			one := <-waiting[i]
			taken++
			if !yield(i, one) {
				return
			}
		}
	}
}

func ask(ctx context.Context, q question, into chan<- reply) {
	answer, err := q(ctx)
	if err == nil {
		answer.Body = readAhead(answer.Body)
	}
	into <- reply{answer, err}
}

// readAhead takes the beginning of a body, and closes one that ends there: what
// is small holds no connection while it waits.
func readAhead(body io.ReadCloser) io.ReadCloser {
	head, err := io.ReadAll(io.LimitReader(body, aheadBytes))
	switch {
	case err != nil:
		return early{io.MultiReader(bytes.NewReader(head), broken{err}), body}
	case len(head) < aheadBytes:
		_ = body.Close()
		return io.NopCloser(bytes.NewReader(head))
	}
	return early{io.MultiReader(bytes.NewReader(head), body), body}
}

// early is a body whose beginning is in memory.
type early struct {
	io.Reader
	io.Closer
}

// broken is the rest of a body that could not be read.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
