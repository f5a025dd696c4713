package cosign

// #include <cosign.h>
import "C"

import "context"

// Generate returns the payload that [Client.Sign] signs with the same options: another program may sign it, for
// [Client.AttachSignature]. A registry is asked only to resolve a tag.
func (c *Client) Generate(ctx context.Context, image string, options *SignOptions) (payload []byte, err error) {
	o, err := options.build()
	if err != nil {
		return nil, err
	}
	defer C.cosign_sign_options_free(o)
	return c.buffer(ctx, image, func(p *C.cosign_client, ref *C.char, call *C.cosign_call, out **C.cosign_buffer, e **C.cosign_error) C.cosign_code {
		return C.cosign_generate(p, ref, o, call, out, e)
	})
}

// DetachedSignature is a signature that was made and not stored.
type DetachedSignature struct {
	// Signature is raw; cosign prints its base64.
	Signature []byte
	// Payload is the exact bytes that it signs.
	Payload []byte
}

// SignDetached signs what [Client.Sign] would sign, and stores nothing. No server is touched when image is a digest or the
// options have a payload.
func (c *Client) SignDetached(ctx context.Context, image string, key *PrivateKey, options *SignOptions) (made *DetachedSignature, err error) {
	if key == nil {
		return nil, errNilKey
	}
	o, err := options.build()
	if err != nil {
		return nil, err
	}
	defer C.cosign_sign_options_free(o)
	err = key.use(func(k *C.cosign_private_key) error {
		return c.do(ctx, image, func(p *C.cosign_client, ref *C.char, call *C.cosign_call) error {
			var signature, payload *C.cosign_buffer
			var e *C.cosign_error
			if err := check(C.cosign_sign_detached(p, ref, k, o, call, &signature, &payload, &e), &e); err != nil {
				return err
			}
			made = &DetachedSignature{Signature: takeBuffer(signature), Payload: takeBuffer(payload)}
			return nil
		})
	})
	return made, err
}

// buffer runs a function of C whose result is bytes.
func (c *Client) buffer(ctx context.Context, image string, f func(*C.cosign_client, *C.char, *C.cosign_call, **C.cosign_buffer, **C.cosign_error) C.cosign_code) (result []byte, err error) {
	err = c.do(ctx, image, func(p *C.cosign_client, ref *C.char, call *C.cosign_call) error {
		var out *C.cosign_buffer
		var e *C.cosign_error
		if err := check(f(p, ref, call, &out, &e), &e); err != nil {
			return err
		}
		result = takeBuffer(out)
		return nil
	})
	return result, err
}
