//go:build race

package runner

// underRace says that the race detector makes everything ten times as slow.
const underRace = true
