package gateway

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/portico-fhir/portico/fhir/search"
)

// wantsRaw tells from Accept and _format whether a Binary is wanted as it is or
// as a resource. R4 gives the file unless FHIR is asked for; here that holds for
// handles, while Binary/{id} is a resource unless something else is asked for.
func wantsRaw(r *http.Request, sealed bool) (bool, error) {
	pairs, err := search.ParsePairs(r.URL.RawQuery)
	if err != nil {
		return false, searchFault(err)
	}
	if slices.ContainsFunc(pairs, func(p search.Pair) bool { return p.Name == "_format" }) {
		return false, nil // _format names JSON or is refused, and counts for more than Accept
	}
	fhirQ, otherQ := 0.0, 0.0
	for _, one := range strings.Split(strings.Join(r.Header.Values("Accept"), ","), ",") {
		media, q := mediaRange(one)
		switch {
		case media == "" || strings.HasPrefix(media, "*/"):
		case isFHIR(media) || media == "application/*":
			fhirQ = max(fhirQ, q)
		default:
			otherQ = max(otherQ, q)
		}
	}
	if fhirQ == 0 && otherQ == 0 {
		return sealed, nil
	}
	return otherQ > fhirQ, nil
}

func mediaRange(text string) (media string, q float64) {
	media, params, err := mime.ParseMediaType(strings.TrimSpace(text))
	if err != nil {
		return "", 0
	}
	q = 1
	if said, is := params["q"]; is {
		if q, err = strconv.ParseFloat(said, 64); err != nil || !(q >= 0 && q <= 1) {
			return "", 0
		}
	}
	return media, q
}

// accepts says whether a type of content is one of those asked for. Without an
// Accept header anything is.
func accepts(accept, contentType string) bool {
	if strings.TrimSpace(accept) == "" {
		return true
	}
	have := mediaType(contentType)
	kind, _, _ := strings.Cut(have, "/")
	for _, one := range strings.Split(accept, ",") {
		if media, q := mediaRange(one); q > 0 && (media == "*/*" || media == have || media == kind+"/*") {
			return true
		}
	}
	return false
}

// isFHIR recognises the types in which FHIR may come, the general ones of JSON
// included: what is no file must not pass for one.
func isFHIR(contentType string) bool {
	switch mediaType(contentType) {
	case "application/fhir+json", "application/json", "application/json+fhir", "text/json",
		"application/fhir+xml", "application/xml+fhir", "application/fhir+turtle", "application/fhir+ndjson", "application/x-ndjson":
		return true
	}
	return false
}

func mediaType(contentType string) string {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "application/octet-stream"
	}
	return media
}

// passive are types that a browser shows without running anything in them.
// Everything else is for keeping, not for showing: HTML, SVG and XML above all.
func passive(media string) bool {
	switch media {
	case "application/pdf", "application/dicom", "text/plain", "text/csv", "text/rtf", "application/rtf",
		"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/tiff", "image/jp2":
		return true
	}
	return strings.HasPrefix(media, "audio/") || strings.HasPrefix(media, "video/")
}

// fileHeader is everything that leaves with a file beside its validators and
// lengths: nothing of the upstream's headers is copied.
func fileHeader(header http.Header, contentType string) {
	clean := "application/octet-stream"
	if media, params, err := mime.ParseMediaType(contentType); err == nil {
		if formatted := mime.FormatMediaType(media, params); formatted != "" {
			clean = formatted
		}
	}
	header.Set("Content-Type", clean)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'")
	header.Set("Cache-Control", "no-store")
	header.Set("Vary", "Accept")
	header.Set("Accept-Ranges", "bytes")
	// A part, or a length, would not fit a body that is compressed on the way.
	header.Set("No-Gzip-Compression", "1")
	if !passive(mediaType(contentType)) {
		header.Set("Content-Disposition", "attachment")
	}
}
