// Package bench measures what the README says of speed and size: make bench.
package bench
