// Package layers has a test that holds the imports of every package against the
// floors of the design: an arrow may only point down.
package layers
