package gateway

import (
	"context"
	"iter"

	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/ahead"
)

// aheadAtOnce is how many questions are open at the upstream for one answer.
const aheadAtOnce = 4

// question is something to ask of the upstream.
type question = ahead.Question[*upstream.Answer]

// reply is what came of a question.
type reply struct {
	answer *upstream.Answer
	err    error
}

// inOrder asks questions a few at a time and gives the replies in the order of the
// questions. Memory is bounded by what waits.
func (x *exchange) inOrder(questions []question) iter.Seq2[int, reply] {
	asks := make([]question, len(questions))
	for i, q := range questions {
		asks[i] = func(ctx context.Context) (*upstream.Answer, error) {
			answer, err := q(ctx)
			if err == nil {
				answer.Body = ahead.Body(answer.Body)
			}
			return answer, err
		}
	}
	return func(yield func(int, reply) bool) {
		for i, one := range ahead.InOrder(x.ctx, asks, ahead.Options[*upstream.Answer]{AtOnce: aheadAtOnce, Drop: drop}) {
			if !yield(i, reply{one.Value, one.Err}) {
				return
			}
		}
	}
}

func drop(answer *upstream.Answer) { _ = answer.Body.Close() }
