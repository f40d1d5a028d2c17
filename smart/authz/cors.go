package authz

import "net/http"

// crossOrigin lets pages of any origin call an endpoint that takes no cookies
// (SMART App Launch 2.2, "Considerations for Cross-Origin Resource Sharing"):
// whoever may call it proves so with what is in the request, so the origin adds
// nothing, and credentials of the browser are never asked for.
func crossOrigin(methods string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		// The answer is meant for other origins; the server's default says it is not.
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		if r.Method != http.MethodOptions {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept, Cache-Control, X-Requested-With")
		h.Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
	})
}
