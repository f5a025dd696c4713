package cosign

// #include <stdint.h>
// #include <stdlib.h>
// #include <cosign.h>
//
// extern cosign_code cosign_go_next(char **reference, uintptr_t batch);
// extern cosign_code cosign_go_result(uint64_t index, char *reference, cosign_verification *verification,
//                                     cosign_error *error, uintptr_t batch);
//
// static cosign_code next(const char **reference, void *user_data)
// {
//     char *text = NULL;
//     cosign_code code = cosign_go_next(&text, (uintptr_t)user_data);
//     *reference = text;
//     return code;
// }
//
// static cosign_code result(uint64_t index, const char *reference, const cosign_verification *verification,
//                           const cosign_error *error, void *user_data)
// {
//     return cosign_go_result(index, (char *)reference, (cosign_verification *)verification, (cosign_error *)error,
//                             (uintptr_t)user_data);
// }
//
// static cosign_code verify_images(const cosign_client *client, const cosign_policy *policy,
//                                  const cosign_verify_options *options, const cosign_batch_options *batch,
//                                  const cosign_call *call, uintptr_t state, cosign_error **err)
// {
//     return cosign_verify_images_from(client, next, policy, options, batch, call, result, (void *)state, err);
// }
import "C"

import (
	"context"
	"iter"
	"math"
	"runtime/cgo"
	"sync"
	"sync/atomic"
	"time"
)

// BatchOptions says how much [Client.VerifyImages] does at once.
type BatchOptions struct {
	// AtOnce is how many images are verified at once, on all hosts together; 0 means 256. Eight times as many are taken
	// from the input ahead of the results.
	AtOnce uint32
	// PerHost is how many images are verified at once on one registry host; 0 means 100.
	PerHost uint32
	// ImageTimeout is what each image may take, from its first request; 0 means three minutes.
	ImageTimeout time.Duration
}

// NoImage is the Index of the last result of a batch that was stopped or could not begin.
const NoImage = math.MaxUint64

// BatchResult is what became of one image of a batch.
type BatchResult struct {
	// Index is the image's number in the input, from 0.
	Index uint64
	// Image is the reference as it was given.
	Image string
	// Verification is the proof; nil if and only if there is an error.
	Verification *Verification
}

// VerifyImages verifies many images over shared connections and yields each result as soon as it is known: what
// [Client.VerifyWith] would have returned for that image, with the error beside it. Tags given many times are resolved
// once. Nil options are the defaults.
//
// The input may be endless, and runs in another goroutine. When ctx ends, the images in hand end with its error. A batch
// that was stopped or could not begin, because of an empty policy for instance, yields one more pair in the end, whose
// Index is [NoImage]: so a loop that looks at every error misses nothing. Leaving the loop stops the batch.
func (c *Client) VerifyImages(
	ctx context.Context, images iter.Seq[string], policy *Policy, options *VerifyOptions, limits *BatchOptions,
) iter.Seq2[BatchResult, error] {
	return func(yield func(BatchResult, error) bool) {
		// The library calls back on the thread that runs the batch. It has a goroutine of its own, so that whatever the
		// loop's body does, panic and Goexit included, never unwinds the library's frames.
		// The input has one, too: iter.Pull cannot be asked from a callback of C.
		b := &batch{ctx: ctx, images: make(chan string), results: make(chan pair), left: make(chan struct{})}
		running, cancel := context.WithCancel(ctx)
		var both sync.WaitGroup
		both.Add(2)
		go func() {
			defer both.Done()
			b.read(images)
		}()
		go func() {
			defer both.Done()
			defer close(b.results)
			b.err = c.runBatch(running, b, policy, options, limits)
		}()
		defer func() {
			close(b.left)
			cancel()
			both.Wait()
		}()
		for result := range b.results {
			if !yield(result.BatchResult, result.err) {
				return
			}
		}
		if p := b.panicked.Load(); p != nil {
			panic(*p)
		}
		if b.err != nil {
			yield(BatchResult{Index: NoImage}, b.err)
		}
	}
}

type pair struct {
	BatchResult
	err error
}

// batch is what the callbacks of one batch share with its loop.
type batch struct {
	ctx      context.Context
	images   chan string
	text     *C.char
	results  chan pair
	left     chan struct{}
	err      error
	panicked atomic.Pointer[any]
}

// read hands the input to the library. A panic of the input ends the batch, and the loop panics on.
func (b *batch) read(images iter.Seq[string]) {
	whole := false
	defer close(b.images)
	defer func() {
		if r := recover(); r != nil {
			b.panicked.Store(&r)
		} else if !whole {
			var why any = "cosign: the sequence of images ended its goroutine"
			b.panicked.Store(&why)
		}
	}()
	for image := range images {
		select {
		case b.images <- image:
		case <-b.left:
			whole = true
			return
		}
	}
	whole = true
}

func (c *Client) runBatch(ctx context.Context, b *batch, policy *Policy, options *VerifyOptions, limits *BatchOptions) error {
	demands, err := policy.build()
	if err != nil {
		return err
	}
	defer C.cosign_policy_free(demands)
	if options == nil {
		options = &VerifyOptions{}
	}
	o := C.cosign_verify_options_new()
	defer C.cosign_verify_options_free(o)
	if err := options.apply(o); err != nil {
		return err
	}
	if limits == nil {
		limits = &BatchOptions{}
	}
	l := C.cosign_batch_options_new()
	defer C.cosign_batch_options_free(l)
	limits.apply(l)
	if c.slots != nil {
		select {
		case c.slots <- struct{}{}:
			defer func() { <-c.slots }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	h := cgo.NewHandle(b)
	defer h.Delete()
	defer func() { freeText(b.text) }()
	return c.use(func(p *C.cosign_client) error {
		return withCall(ctx, nil, func(call *C.cosign_call) error {
			var e *C.cosign_error
			return check(C.verify_images(p, demands, o, l, call, C.uintptr_t(h), &e), &e)
		})
	})
}

func (limits *BatchOptions) apply(l *C.cosign_batch_options) {
	if limits.AtOnce > 0 {
		C.cosign_batch_options_set_at_once(l, C.uint32_t(limits.AtOnce))
	}
	if limits.PerHost > 0 {
		C.cosign_batch_options_set_per_host(l, C.uint32_t(limits.PerHost))
	}
	if limits.ImageTimeout > 0 {
		// To C, 0 means no limit.
		C.cosign_batch_options_set_image_timeout_ms(l, C.uint64_t(max(limits.ImageTimeout.Milliseconds(), 1)))
	}
}

//export cosign_go_next
func cosign_go_next(out **C.char, handle C.uintptr_t) C.cosign_code {
	b := cgo.Handle(handle).Value().(*batch)
	var image string
	var more bool
	select {
	case image, more = <-b.images:
	case <-b.ctx.Done():
		return C.COSIGN_ERR_CANCELLED
	case <-b.left:
		return C.COSIGN_ERR_CANCELLED
	}
	if b.panicked.Load() != nil {
		return C.COSIGN_ERR_CANCELLED
	}
	if !more {
		return C.COSIGN_OK
	}
	freeText(b.text)
	b.text = nil
	text, err := cText(image)
	if err != nil {
		// Such a text names no image; neither does this one, which can be said in C.
		text = C.CString("a reference with a zero byte")
	}
	b.text, *out = text, text
	return C.COSIGN_OK
}

//export cosign_go_result
func cosign_go_result(
	index C.uint64_t, reference *C.char, v *C.cosign_verification, e *C.cosign_error, handle C.uintptr_t,
) C.cosign_code {
	b := cgo.Handle(handle).Value().(*batch)
	result := pair{BatchResult: BatchResult{Index: uint64(index), Image: C.GoString(reference)}}
	if v != nil {
		result.Verification = newVerification(v)
	} else {
		err := newError(C.cosign_error_code(e), e)
		if result.err = err; err.Code == ErrCancelled && b.ctx.Err() != nil {
			result.err = b.ctx.Err()
		}
	}
	select {
	case b.results <- result:
		return C.COSIGN_OK
	case <-b.left:
		return C.COSIGN_ERR_CANCELLED
	}
}
