package httpfile

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// MediaRange reads one element of an Accept header; "" is one that cannot be read.
func MediaRange(text string) (media string, q float64) {
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

// Accepts says whether a type of content is one of those asked for. Without an
// Accept header anything is.
func Accepts(accept, contentType string) bool {
	if strings.TrimSpace(accept) == "" {
		return true
	}
	have := Media(contentType)
	kind, _, _ := strings.Cut(have, "/")
	for _, one := range strings.Split(accept, ",") {
		if media, q := MediaRange(one); q > 0 && (media == "*/*" || media == have || media == kind+"/*") {
			return true
		}
	}
	return false
}

// Media gives the type without its parameters, that of bytes when there is none.
func Media(contentType string) string {
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

// setHeader writes everything that leaves with a file beside its validators and
// lengths: nothing of the upstream's headers is copied.
func setHeader(header http.Header, contentType string) {
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
	if !passive(Media(contentType)) {
		header.Set("Content-Disposition", "attachment")
	}
}
