//go:build cosign_static

package cosign

// The path of the archive, since `pkg-config --static` still lets the linker prefer the shared library.

// #cgo linux,amd64 CFLAGS: -I${SRCDIR}/lib/linux_amd64
// #cgo linux,amd64 LDFLAGS: ${SRCDIR}/lib/linux_amd64/libcosign.a -lgcc_s -lpthread -ldl -lm
import "C"

// Naming the folder's package is what makes `go mod vendor` keep the folder.
import _ "example.com/libcosign/cosign/lib/linux_amd64"
