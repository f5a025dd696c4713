package cosign

// #include <stdint.h>
// #include <cosign.h>
//
// extern cosign_code cosign_go_ask(cosign_secret *out, char *prompt, uint32_t attempt, uintptr_t question);
//
// static cosign_code ask(cosign_secret *out, const char *prompt, uint32_t attempt, void *user_data)
// {
//     return cosign_go_ask(out, (char *)prompt, attempt, (uintptr_t)user_data);
// }
//
// static void set_password(cosign_call *call, uintptr_t question)
// {
//     cosign_call_set_password_cb(call, ask, (void *)question, NULL);
// }
import "C"

import (
	"context"
	"runtime/cgo"
)

// PasswordFunc answers a request for a password. Attempt is 1 first and grows while the answer is wrong; 0 asks for
// the new password of a key that is being written. A nil answer means "I have none". An error stops the call, which
// then returns that error.
type PasswordFunc func(prompt string, attempt uint32) ([]byte, error)

// Password answers with the same password once; a second question means that it was wrong.
func Password(password string) PasswordFunc {
	return func(_ string, attempt uint32) ([]byte, error) {
		if attempt > 1 {
			return nil, nil
		}
		return []byte(password), nil
	}
}

// question is what one call asks, and what the answer did.
type question struct {
	answer   PasswordFunc
	err      error
	panicked any
}

// withCall runs f with a C call object that is cancelled when ctx ends.
func withCall(ctx context.Context, password PasswordFunc, f func(*C.cosign_call) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	call := C.cosign_call_new()
	defer C.cosign_call_free(call)

	q := &question{answer: password}
	if password != nil {
		h := cgo.NewHandle(q)
		defer h.Delete()
		C.set_password(call, C.uintptr_t(h))
	}

	err := func() error {
		done, gone := make(chan struct{}), make(chan struct{})
		defer func() {
			close(done)
			<-gone // the watcher must be out before the call object is freed
		}()
		go func() {
			defer close(gone)
			select {
			case <-ctx.Done():
				C.cosign_call_cancel(call)
			case <-done:
			}
		}()
		return f(call)
	}()

	if q.panicked != nil {
		panic(q.panicked)
	}
	if err != nil && q.err != nil {
		return q.err
	}
	if e, ok := err.(*Error); ok && e.Code == ErrCancelled && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
