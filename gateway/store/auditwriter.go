package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/portico-fhir/portico/gateway/audit"
)

const (
	// maxBatch bounds how long the first event of a batch waits for the last.
	maxBatch = 256
	// maxWaiting bounds memory when the disk does not keep up.
	maxWaiting = 8192
)

// auditWriter is group commit: one goroutine writes all events that wait into
// one transaction and tells each caller when that is on the disk. While it
// waits for the disk the next batch gathers, so the more callers there are, the
// less one event costs, and a single caller waits for nobody.
type auditWriter struct {
	on   *db
	wake chan struct{} // holds a token while there is something to do
	done chan struct{} // closed when the writer has ended

	mu      sync.Mutex
	waiting []waiting
	closed  bool
	failed  error     // of the last batch; nil: it was written
	since   time.Time // of failed
}

// failingFor is how long a batch that could not be written counts. Without
// requests there is no next one that would show that it can be written again.
const failingFor = 5 * time.Second

// failing gives why the last batch could not be written, if that was just now.
func (w *auditWriter) failing() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil || time.Since(w.since) > failingFor {
		return nil
	}
	return w.failed
}

type waiting struct {
	event  audit.Event
	result chan error
}

const (
	lastEvent   = `SELECT COALESCE(MAX(seq), 0) FROM audit_events`
	insertEvent = `INSERT INTO audit_events (` + auditColumns + `)
	SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
	WHERE NOT EXISTS (SELECT 1 FROM audit_events WHERE id = ?)`
)

func startAuditWriter(on *db) *auditWriter {
	w := &auditWriter{on: on, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go w.run()
	return w
}

// record hands an event over and waits for its commit.
func (w *auditWriter) record(e audit.Event) error {
	result := make(chan error, 1)
	w.mu.Lock()
	switch {
	case w.closed:
		w.mu.Unlock()
		return audit.ErrClosed
	case len(w.waiting) >= maxWaiting:
		w.mu.Unlock()
		return ErrBehind
	}
	w.waiting = append(w.waiting, waiting{e, result})
	w.mu.Unlock()
	w.signal()
	return <-result // the writer answers everyone it took over
}

func (w *auditWriter) signal() {
	select {
	case w.wake <- struct{}{}:
	default: // it is awake already
	}
}

// close takes no more events, writes those that wait and ends the writer.
func (w *auditWriter) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.signal()
	<-w.done
}

func (w *auditWriter) run() {
	defer close(w.done)
	for range w.wake {
		for {
			batch, closed := w.take()
			if len(batch) == 0 {
				if closed {
					return
				}
				break
			}
			w.answer(batch)
		}
	}
}

// take gives the next batch, and says whether there will be more.
func (w *auditWriter) take() ([]waiting, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.waiting), maxBatch)
	batch := w.waiting[:n:n]
	w.waiting = w.waiting[n:]
	if len(w.waiting) == 0 {
		w.waiting = nil
	}
	return batch, w.closed
}

// answer writes a batch and tells every caller.
func (w *auditWriter) answer(batch []waiting) {
	results, err := w.commit(batch)
	w.mu.Lock()
	w.failed, w.since = err, time.Now()
	w.mu.Unlock()
	for i, b := range batch {
		switch {
		case err != nil:
			b.result <- fmt.Errorf("store: audit: %w", err)
		default:
			b.result <- results[i]
		}
	}
}

// commit writes a batch in one transaction and gives each event's result.
func (w *auditWriter) commit(batch []waiting) ([]error, error) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	results := make([]error, len(batch))
	w.on.parse(ctx, lastEvent)
	w.on.parse(ctx, insertEvent)
	err := w.on.inTx(ctx, func(tx txn) error { return w.append(ctx, tx, batch, results) })
	return results, err
}

// append numbers the events inside the transaction, where no other process can
// write, so that the numbers have no gaps.
func (w *auditWriter) append(ctx context.Context, tx txn, batch []waiting, results []error) error {
	clear(results)
	if err := tx.alone(ctx, "audit"); err != nil {
		return fmt.Errorf("wait for the others: %w", err)
	}
	if tx.on.postgres {
		return appendAll(ctx, tx, batch, results)
	}
	var seq int64
	if err := tx.QueryRowContext(ctx, lastEvent).Scan(&seq); err != nil {
		return fmt.Errorf("find the last number: %w", err)
	}
	for i := range batch {
		e := &batch[i].event
		ok, err := changed(tx.ExecContext(ctx, insertEvent, slices.Concat([]any{seq + 1}, eventRow(e), []any{e.ID})...))
		switch {
		case err != nil:
			return fmt.Errorf("write: %w", err)
		case !ok:
			results[i] = audit.ErrDuplicate
		default:
			seq++
		}
	}
	return nil
}
