package cosign

// #include <stdint.h>
// #include <cosign.h>
import "C"

import "runtime/cgo"

// cosign_go_ask runs on the thread that made the call. A panic must not cross the library's frames: it is parked in
// the question, and withCall panics on.
//
//export cosign_go_ask
func cosign_go_ask(out *C.cosign_secret, prompt *C.char, attempt C.uint32_t, handle C.uintptr_t) (code C.cosign_code) {
	q := cgo.Handle(handle).Value().(*question)
	defer func() {
		if r := recover(); r != nil {
			q.panicked = r
			code = C.COSIGN_ERR_CANCELLED
		}
	}()
	answer, err := q.answer(C.GoString(prompt), uint32(attempt))
	if err != nil {
		q.err = err
		return C.COSIGN_ERR_CANCELLED
	}
	if answer == nil {
		return C.COSIGN_PASSTHROUGH
	}
	defer clear(answer)
	data, len := bytesOf(answer)
	C.cosign_secret_set(out, data, len)
	return C.COSIGN_OK
}
