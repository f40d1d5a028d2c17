package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/portico-fhir/portico/config"
)

// The limits of a connection. There is none on a whole answer, which may stream
// for as long as somebody takes it: what is bounded is how long nobody does.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	stallTimeout  = 30 * time.Second // one write that does not proceed, one read of a body
	bodyTimeout   = 2 * time.Minute  // a whole body
	maxHeader     = 32 << 10
	drainTimeout  = 25 * time.Second // orchestrators kill after 30 s
)

// listenOptions say where and how to listen.
type listenOptions struct {
	Address           string
	TLS               *config.TLS // nil: plain HTTP
	InsecurePlainHTTP bool        // plain HTTP on anything but loopback
	Log               *slog.Logger
	Stall             time.Duration // stallTimeout when 0
	Drain             time.Duration // drainTimeout when 0
}

// listener is an open port and the way to serve on it.
type listener struct {
	net.Listener
	o listenOptions
	s *http.Server
}

// listen opens the port. Plain HTTP anywhere but on loopback is refused unless
// the options say insecure.
func listen(ctx context.Context, o listenOptions) (*listener, error) {
	if o.Stall == 0 {
		o.Stall = stallTimeout
	}
	if o.Drain == 0 {
		o.Drain = drainTimeout
	}
	l := &listener{o: o}
	l.s = &http.Server{
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 100,
			SendPingTimeout:      idleTimeout,
			PingTimeout:          stallTimeout,
			WriteByteTimeout:     stallTimeout,
		},
	}
	if o.TLS != nil {
		c, err := tlsConfig(*o.TLS, time.Now, o.Log)
		if err != nil {
			return nil, err
		}
		l.s.TLSConfig = c
	}
	mustBeLoopback := o.TLS == nil && !o.InsecurePlainHTTP
	if mustBeLoopback {
		if err := checkLoopback(ctx, o.Address); err != nil {
			return nil, err
		}
	}
	open, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	// The name may have been resolved differently the second time.
	if a, ok := open.Addr().(*net.TCPAddr); mustBeLoopback && (!ok || !a.IP.IsLoopback()) {
		return nil, errors.Join(errNotLoopback(o.Address), open.Close())
	}
	l.Listener = open
	return l, nil
}

func errNotLoopback(address string) error {
	return fmt.Errorf("%s can be reached from other machines: plain HTTP is served on loopback only; "+
		"give tls in the configuration, or set insecure_plain_http: true", address)
}

// checkLoopback resolves the host of an address; each of its addresses must be
// loopback. No host at all means every interface.
func checkLoopback(ctx context.Context, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if host == "" {
		return errNotLoopback(address)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	for _, a := range addrs {
		if !a.Unmap().IsLoopback() {
			return errNotLoopback(address)
		}
	}
	return nil
}

// serve answers requests until ctx ends, and then lets those under way finish.
func (l *listener) serve(ctx context.Context, h http.Handler) error {
	l.s.Handler = l.guardStalls(h)
	ended := make(chan error, 1)
	go func() {
		if l.o.TLS != nil {
			ended <- l.s.ServeTLS(l.Listener, "", "")
		} else {
			ended <- l.s.Serve(l.Listener)
		}
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	l.o.Log.Info("stopping: no new connections; requests under way may finish", "within", l.o.Drain)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.o.Drain)
	defer cancel()
	err := l.s.Shutdown(drain)
	if err != nil {
		// What has not finished is cut: the client sees a broken answer.
		l.o.Log.Warn("requests were still under way; they are cut off")
		err = l.s.Close()
	}
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// background serves until the function that it gives is called, however long that
// is after ctx has ended, and which waits for the end.
func (l *listener) background(ctx context.Context, h http.Handler) (stop func() error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- l.serve(ctx, h) }()
	return func() error {
		cancel()
		return errors.Join(<-ended, l.Close())
	}
}

// Close ends whatever is still open; after serve there is nothing.
func (l *listener) Close() error {
	if err := l.s.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the listener: %w", err)
	}
	if err := l.Listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the listener: %w", err)
	}
	return nil
}

// guardStalls bounds how long a client may neither send nor take anything.
// http.Server's own timeouts bound whole requests and answers: its ReadTimeout
// would cancel, and its WriteTimeout cut, an answer that streams for long.
func (l *listener) guardStalls(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		sw := &stallWriter{ResponseWriter: w, control: control, limit: l.o.Stall, now: time.Now}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &stallReader{ReadCloser: r.Body, control: control, limit: l.o.Stall, end: time.Now().Add(bodyTimeout)}
		}
		next.ServeHTTP(sw, r)
		// The server sends what is still buffered when the handler has returned.
		_ = control.SetWriteDeadline(time.Now().Add(l.o.Stall))
	})
}

// stallWriter gives every write a deadline of its own. It is taken off
// afterwards, since HTTP/2 resets a stream whose deadline passes even while
// nothing is being written. A client that takes a little each time, and so never
// stalls, is given up when all of its waits together come to more than slowGrace
// and a second for each slowRate bytes: it holds a place that others need.
type stallWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	limit   time.Duration
	now     func() time.Time
	waited  time.Duration // in writes; how long the answer took to come is not the client's doing
	sent    int64
}

// How slowly a client may read.
const (
	slowGrace = time.Minute
	slowRate  = 4 << 10 // bytes a second
)

var errSlowClient = errors.New("portico: the client takes its answer too slowly")

// Write implements http.ResponseWriter.
func (w *stallWriter) Write(b []byte) (int, error) {
	if w.tooSlow() {
		return 0, errSlowClient
	}
	begun := w.now()
	_ = w.control.SetWriteDeadline(begun.Add(w.limit))
	n, err := w.ResponseWriter.Write(b)
	_ = w.control.SetWriteDeadline(time.Time{})
	w.waited += w.now().Sub(begun)
	w.sent += int64(n)
	return n, err
}

func (w *stallWriter) tooSlow() bool {
	return w.waited > slowGrace+time.Duration(w.sent/slowRate)*time.Second
}

// FlushError is for http.ResponseController.
func (w *stallWriter) FlushError() error {
	if w.tooSlow() {
		return errSlowClient
	}
	begun := w.now()
	_ = w.control.SetWriteDeadline(begun.Add(w.limit))
	err := w.control.Flush()
	_ = w.control.SetWriteDeadline(time.Time{})
	w.waited += w.now().Sub(begun)
	return err
}

// Unwrap is for http.ResponseController.
func (w *stallWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// stallReader gives every read of a body a deadline, and the body as a whole.
type stallReader struct {
	io.ReadCloser
	control *http.ResponseController
	limit   time.Duration
	end     time.Time
}

// Read implements io.Reader.
func (r *stallReader) Read(b []byte) (int, error) {
	deadline := time.Now().Add(r.limit)
	if deadline.After(r.end) {
		deadline = r.end
	}
	_ = r.control.SetReadDeadline(deadline)
	n, err := r.ReadCloser.Read(b)
	if !timedOut(err) {
		// Left in place it would end the request, whose connection the server
		// goes on reading to notice that the client has left.
		_ = r.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

func timedOut(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
