//go:build !race

// Package racing says whether the race detector watches. What takes many minutes
// under it is sampled there, and done whole without it: .ci/test does both. It
// knows nothing else.
package racing

// On is whether the race detector watches.
const On = false
