package gateway

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/audit"
)

// respond is step 9. A small answer leaves whole; a large one goes on entry by
// entry, and if it cannot be finished the connection is broken, so that nobody
// takes a part for the whole.
func (g *Gateway) respond(w http.ResponseWriter, r *http.Request, x *exchange, h *held) error {
	x.at("respond")
	header := w.Header()
	header.Set("Content-Type", fhir.JSON)
	header.Set("Cache-Control", "no-store")
	x.cacheHeaders(header)
	if h.read != nil {
		if etag := h.read.etag(); etag != "" {
			header.Set("ETag", etag)
		}
		if at, err := h.read.modified(); err == nil {
			header.Set("Last-Modified", at.UTC().Format(http.TimeFormat))
		}
		if x.notModified(h.read) {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	if h.whole {
		header.Set("Content-Length", strconv.Itoa(len(h.head)))
		_, err := w.Write(h.head)
		return gone(err)
	}
	return g.stream(w, r, x, h)
}

func (g *Gateway) stream(w http.ResponseWriter, r *http.Request, x *exchange, h *held) error {
	if r.Method == http.MethodHead {
		return nil
	}
	out := h.head
	var end error
	for end == nil {
		if _, err := w.Write(out); err != nil {
			return g.breakOff(x, gone(err))
		}
		out, end = h.rest.more(out[:0])
	}
	if !errors.Is(end, io.EOF) {
		return g.breakOff(x, end)
	}
	_, err := w.Write(out)
	if err != nil {
		return g.breakOff(x, gone(err))
	}
	return nil
}

// breakOff writes down that an answer which had begun was not finished. The
// error makes the handler break the connection.
func (g *Gateway) breakOff(x *exchange, err error) error {
	if recordErr := g.record(x, audit.Aborted); recordErr != nil {
		return errors.Join(err, recordErr)
	}
	return err
}

// gone names a failed write without what net/http says of the peer.
func gone(err error) error {
	if err == nil {
		return nil
	}
	return errors.New("gateway: the client went away")
}
