//go:build !cosign_static

package cosign

// #cgo pkg-config: cosign
import "C"
