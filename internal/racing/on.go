//go:build race

package racing

// On is whether the race detector watches.
const On = true
