package handler

import (
	"net/http"
)

// recorder notes what went out, for the log and to know whether an answer has
// begun. Unwrap keeps http.ResponseController working through it.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

var _ http.Flusher = (*recorder)(nil)

// record gives the recorder around w, an existing one if there is one: the
// server's own must see what handlers below it write.
func record(w http.ResponseWriter) *recorder {
	if rec, ok := w.(*recorder); ok {
		return rec
	}
	return &recorder{ResponseWriter: w}
}

// begun says whether a final status has been sent.
func (w *recorder) begun() bool { return w.status != 0 }

// WriteHeader notes the first final status; 1xx are not the answer.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write counts what the body took.
func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err //nolint:wrapcheck // an io.Writer passes errors on as they are
}

// Flush sends what is buffered; a flush begins the answer.
func (w *recorder) Flush() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	// A writer that cannot flush has nothing to be told about.
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
