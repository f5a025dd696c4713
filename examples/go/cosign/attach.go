package cosign

// #include <cosign.h>
import "C"

import "context"

// AttachSignature stores a raw signature of image that was made elsewhere, as [Client.Sign] stores its own. What it signs
// is the payload of the options, or else what [Client.Generate] gives for them. It is not verified.
func (c *Client) AttachSignature(ctx context.Context, image string, signature []byte, options *SignOptions) (attached *Signed, err error) {
	o, err := options.build()
	if err != nil {
		return nil, err
	}
	defer C.cosign_sign_options_free(o)
	err = c.do(ctx, image, func(p *C.cosign_client, ref *C.char, call *C.cosign_call) error {
		data, len := bytesOf(signature)
		var out *C.cosign_signed
		var e *C.cosign_error
		if err := check(C.cosign_attach_signature(p, ref, data, len, o, call, &out, &e), &e); err != nil {
			return err
		}
		defer C.cosign_signed_free(out)
		attached = newSigned(out)
		return nil
	})
	return attached, err
}
