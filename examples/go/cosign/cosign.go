// Package cosign signs and verifies container images through libcosign.
//
//	key, err := cosign.GenerateKey("")
//	public, err := key.Public()
//	client, err := cosign.NewClient(nil)
//	signed, err := client.Sign(ctx, "oci:image:v1", key, nil)
//	v, err := client.Verify(ctx, "oci:image:v1", &cosign.Policy{Keys: []*cosign.PublicKey{public}})
//	fmt.Println(v.Digest) // act on this digest, not on the tag
//
// An image is "registry/repository:tag", "registry/repository@sha256:…" or "oci:PATH:tag", a folder on disk.
//
// # Errors
//
// Every failure of the library is an [*Error] with a stable code; when the context ended, it is the context's error.
//
//	var e *cosign.Error
//	if errors.As(err, &e) && e.Code == cosign.ErrNoSignatures { … }
//
// # Threads
//
// Everything here may be used by many goroutines at once. A call that waits for a registry holds one operating system
// thread, as every cgo call does; [ClientOptions.MaxCalls] bounds how many.
//
// # Building
//
// By default pkg-config finds the installed library. With the build tag cosign_static the archive in lib/<os>_<arch>
// becomes part of the program.
package cosign

// #include <stdlib.h>
// #include <cosign.h>
import "C"

import (
	"runtime"
	"strings"
	"sync"
	"unsafe"
)

// Version is the version of the library that runs, such as "0.1.0".
func Version() string { return C.GoString(C.cosign_version_string()) }

// Error says why the library refused or failed.
type Error struct {
	// Code is one of the Err constants; expect codes that this package does not know yet.
	Code int
	// Message is one line of English.
	Message string
	// JSON holds code, name, class, message and the facts; for a refused verification also its report.
	JSON string
	// Retryable says whether the same call may succeed later.
	Retryable bool
}

func (e *Error) Error() string { return e.Message }

// Name is the stable name of the code, such as "NO_SIGNATURES".
func (e *Error) Name() string { return C.GoString(C.cosign_code_name(C.cosign_code(e.Code))) }

// Is makes errors.Is(err, &Error{Code: ErrNoSignatures}) true for every error with that code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// check owns *out, which it reads through the pointer: the order in which Go evaluates the call and a second operand is
// open. The error is an object of its own, so no goroutine is locked to its thread to read it.
func check(code C.cosign_code, out **C.cosign_error) error {
	err := *out
	defer C.cosign_error_free(err)
	if code == C.COSIGN_OK {
		return nil
	}
	return newError(code, err)
}

// newError copies an error object.
func newError(code C.cosign_code, err *C.cosign_error) *Error {
	return &Error{
		Code:      int(code),
		Message:   C.GoString(C.cosign_error_message(err)),
		JSON:      C.GoString(C.cosign_error_json(err)),
		Retryable: C.cosign_error_is_retryable(err) != 0,
	}
}

// cText copies s for C; free it. C would silently end the text at a zero byte and sign or verify something else.
func cText(s string) (*C.char, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return nil, &Error{Code: ErrEncoding, Message: "text with a zero byte", JSON: "{}"}
	}
	return C.CString(s), nil
}

func freeText(s *C.char) { C.free(unsafe.Pointer(s)) }

// takeBuffer copies b and frees it.
func takeBuffer(b *C.cosign_buffer) []byte {
	defer C.cosign_buffer_free(b)
	return C.GoBytes(unsafe.Pointer(C.cosign_buffer_data(b)), C.int(C.cosign_buffer_len(b)))
}

func bytesOf(b []byte) (unsafe.Pointer, C.size_t) {
	return unsafe.Pointer(unsafe.SliceData(b)), C.size_t(len(b))
}

// handle owns one C object. Close may come at any time, even during calls: the last one out frees the object.
type handle[P comparable] struct {
	mu      sync.Mutex
	p       P
	users   int
	closed  bool
	free    func(P)
	cleanup runtime.Cleanup
}

func (h *handle[P]) own(p P, free func(P)) {
	h.p, h.free = p, free
	h.cleanup = runtime.AddCleanup(h, free, p)
}

// use lends the object to f; NULL after Close, which the library answers with ErrArgument. The reference to h that
// the deferred call holds keeps the cleanup from running while C still reads.
func (h *handle[P]) use(f func(P) error) error {
	p := h.enter()
	defer h.leave()
	return f(p)
}

func (h *handle[P]) enter() (p P) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users++
	if !h.closed {
		p = h.p
	}
	return p
}

func (h *handle[P]) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users--
	h.freeIfUnused()
}

func (h *handle[P]) freeIfUnused() {
	var none P
	if h.closed && h.users == 0 && h.p != none {
		h.cleanup.Stop()
		h.free(h.p)
		h.p = none
	}
}

// Close frees the object once no call uses it any more. It may be called twice; without it the garbage collector
// frees the object at some later time.
func (h *handle[P]) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.freeIfUnused()
	return nil
}
