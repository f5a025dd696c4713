package cosign

// #include <stdint.h>
// #include <cosign.h>
//
// extern cosign_code cosign_go_read(void *buffer, size_t size, size_t *read, uintptr_t blob);
//
// static cosign_code read_blob(void *buffer, size_t size, size_t *read, void *user_data)
// {
//     return cosign_go_read(buffer, size, read, (uintptr_t)user_data);
// }
//
// static cosign_code sign_blob(const cosign_private_key *key, uintptr_t blob, const char *form, const char *hash,
//                              const cosign_call *call, cosign_buffer **out, cosign_error **err)
// {
//     return cosign_sign_blob(key, read_blob, (void *)blob, NULL, form, hash, call, out, err);
// }
//
// static cosign_code verify_blob(uintptr_t blob, const cosign_policy *policy, const cosign_verify_blob_options *options,
//                                const cosign_call *call, cosign_verification **out, cosign_error **err)
// {
//     return cosign_verify_blob(read_blob, (void *)blob, NULL, policy, options, call, out, err);
// }
import "C"

import (
	"context"
	"io"
	"runtime/cgo"
	"unsafe"
)

// The forms of a blob's signature.
const (
	BlobRaw       = "raw"        // the signature's bytes
	BlobBase64    = "base64"     // what cosign sign-blob prints
	BlobBundle    = "bundle"     // the sigstore bundle, as cosign 3 writes it
	BlobOldBundle = "old-bundle" // the JSON before bundles
)

// BlobOptions says how a blob is signed.
type BlobOptions struct {
	// Form is BlobRaw unless another is named.
	Form string
	// Hash is the one of the key's kind unless "sha256" is named for a P-384 or P-521 key.
	Hash string
}

// BlobSignatures are what is said to have signed a blob; they count together for the policy's threshold.
type BlobSignatures struct {
	// Signatures stand by themselves, raw or in base64.
	Signatures [][]byte
	// Bundles are sigstore's, or the JSON before them. A key inside them is never trusted.
	Bundles [][]byte
	// Name is what errors and the report call the blob.
	Name string
	// Hash is the only one that signatures may be over, if it is named.
	Hash string
}

// reading is a blob that C reads, and what happened to it.
type reading struct {
	blob     io.Reader
	err      error
	panicked any
}

// cosign_go_read runs on the thread that made the call. A panic must not cross the library's frames: it is parked, and
// withBlob panics on.
//
//export cosign_go_read
func cosign_go_read(buffer unsafe.Pointer, size C.size_t, read *C.size_t, handle C.uintptr_t) (code C.cosign_code) {
	r := cgo.Handle(handle).Value().(*reading)
	defer func() {
		if p := recover(); p != nil {
			r.panicked = p
			code = C.COSIGN_ERR_CANCELLED
		}
	}()
	// A reader may answer nothing and no error; to C that would be the end.
	for range 100 {
		n, err := r.blob.Read(unsafe.Slice((*byte)(buffer), int(size)))
		if n > 0 || err == io.EOF {
			*read = C.size_t(n)
			return C.COSIGN_OK
		}
		if err != nil {
			r.err = err
			return C.COSIGN_ERR_CANCELLED
		}
	}
	r.err = io.ErrNoProgress
	return C.COSIGN_ERR_CANCELLED
}

// withBlob runs f with a handle on blob; an error of blob is the call's.
func withBlob(ctx context.Context, blob io.Reader, f func(C.uintptr_t, *C.cosign_call) error) error {
	r := &reading{blob: blob}
	h := cgo.NewHandle(r)
	defer h.Delete()
	err := withCall(ctx, nil, func(call *C.cosign_call) error { return f(C.uintptr_t(h), call) })
	if r.panicked != nil {
		panic(r.panicked)
	}
	if err != nil && r.err != nil {
		return r.err
	}
	return err
}

// SignBlob signs all that blob yields, without holding it; with an Ed25519 key it is held, and has at most 64 MiB. nil
// options are the defaults. ctx is looked at between two pieces.
func (k *PrivateKey) SignBlob(ctx context.Context, blob io.Reader, options *BlobOptions) (signature []byte, err error) {
	if options == nil {
		options = &BlobOptions{}
	}
	form, hash := options.Form, options.Hash
	if form == "" {
		form = BlobRaw
	}
	sign := func(t []*C.char) {
		var cHash *C.char
		if hash != "" {
			cHash = t[1]
		}
		err = k.use(func(p *C.cosign_private_key) error {
			return withBlob(ctx, blob, func(h C.uintptr_t, call *C.cosign_call) error {
				var out *C.cosign_buffer
				var e *C.cosign_error
				if err := check(C.sign_blob(p, h, t[0], cHash, call, &out, &e), &e); err != nil {
					return err
				}
				signature = takeBuffer(out)
				return nil
			})
		})
	}
	if textErr := withTexts(sign, form, hash); textErr != nil {
		return nil, textErr
	}
	return signature, err
}

func (signatures *BlobSignatures) apply(o *C.cosign_verify_blob_options) error {
	for _, signature := range signatures.Signatures {
		data, len := bytesOf(signature)
		C.cosign_verify_blob_options_add_signature(o, data, len)
	}
	for _, bundle := range signatures.Bundles {
		data, len := bytesOf(bundle)
		C.cosign_verify_blob_options_add_bundle(o, data, len)
	}
	if signatures.Name != "" {
		set := func(t []*C.char) { C.cosign_verify_blob_options_set_name(o, t[0]) }
		if err := withTexts(set, signatures.Name); err != nil {
			return err
		}
	}
	if signatures.Hash != "" {
		return withTexts(func(t []*C.char) { C.cosign_verify_blob_options_set_hash(o, t[0]) }, signatures.Hash)
	}
	return nil
}

// VerifyBlob returns a verification only when all that blob yields is signed as the policy demands, and the reason as an
// error otherwise. Its Digest is the hash of what was read, its Reference the blob's name. ctx is looked at between two
// pieces.
func VerifyBlob(ctx context.Context, blob io.Reader, policy *Policy, signatures *BlobSignatures) (verification *Verification, err error) {
	demands, err := policy.build()
	if err != nil {
		return nil, err
	}
	defer C.cosign_policy_free(demands)
	if signatures == nil {
		signatures = &BlobSignatures{}
	}
	o := C.cosign_verify_blob_options_new()
	defer C.cosign_verify_blob_options_free(o)
	if err := signatures.apply(o); err != nil {
		return nil, err
	}
	err = withBlob(ctx, blob, func(h C.uintptr_t, call *C.cosign_call) error {
		var v *C.cosign_verification
		var e *C.cosign_error
		if err := check(C.verify_blob(h, demands, o, call, &v, &e), &e); err != nil {
			return err
		}
		defer C.cosign_verification_free(v)
		verification = &Verification{
			Digest:    C.GoString(C.cosign_verification_digest(v)),
			Reference: C.GoString(C.cosign_verification_reference(v)),
			JSON:      C.GoString(C.cosign_verification_json(v)),
		}
		for i := C.size_t(0); i < C.cosign_verification_count(v); i++ {
			format := C.GoString(C.cosign_verification_format_at(v, i))
			verification.Signatures = append(verification.Signatures, VerifiedSignature{Format: format})
		}
		return nil
	})
	return verification, err
}
