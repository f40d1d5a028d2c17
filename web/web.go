// Package web owns what a browser is sent: the page templates, the style sheet
// and the pictures, embedded so that the binary needs no files beside it. It
// knows neither patients nor apps; gateway/pages fills the templates.
package web

import "embed"

// Templates holds templates/*.html; layout.html is the frame of every page.
//
//go:embed templates/*.html
var Templates embed.FS

// Static holds static/*, served by Assets.
//
//go:embed static
var Static embed.FS
