// Package soak has listeners work through thousands of ticks in which all that
// can fail does, and looks at what they leave behind: TICKS=20000 go test.
package soak
