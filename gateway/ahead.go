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
type reply = ahead.Reply[*upstream.Answer]

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
	return ahead.InOrder(x.ctx, asks, ahead.Options[*upstream.Answer]{AtOnce: aheadAtOnce, Drop: drop})
}

func drop(answer *upstream.Answer) { _ = answer.Body.Close() }
