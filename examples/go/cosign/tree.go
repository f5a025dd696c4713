package cosign

// #include <cosign.h>
import "C"

import "context"

// Triangulate names the place that holds the signatures of image; suffix is ".sig" when it is empty.
func (c *Client) Triangulate(ctx context.Context, image, suffix string) (string, error) {
	if suffix == "" {
		suffix = ".sig"
	}
	var place []byte
	var failed error
	err := withTexts(func(t []*C.char) {
		place, failed = c.buffer(ctx, image, func(p *C.cosign_client, ref *C.char, call *C.cosign_call, out **C.cosign_buffer, e **C.cosign_error) C.cosign_code {
			return C.cosign_triangulate(p, ref, t[0], call, out, e)
		})
	}, suffix)
	if err == nil {
		err = failed
	}
	return string(place), err
}

// Tree returns everything that hangs on image as JSON (docs/commands.md); nothing is verified. What could not be read is in
// "unread", and "complete" is then false.
func (c *Client) Tree(ctx context.Context, image string) ([]byte, error) {
	return c.buffer(ctx, image, func(p *C.cosign_client, ref *C.char, call *C.cosign_call, out **C.cosign_buffer, e **C.cosign_error) C.cosign_code {
		return C.cosign_tree(p, ref, call, out, e)
	})
}

// Doctor says for each signature of image which tools can read it, as JSON (docs/commands.md); nothing is verified.
func (c *Client) Doctor(ctx context.Context, image string) ([]byte, error) {
	return c.buffer(ctx, image, func(p *C.cosign_client, ref *C.char, call *C.cosign_call, out **C.cosign_buffer, e **C.cosign_error) C.cosign_code {
		return C.cosign_doctor(p, ref, call, out, e)
	})
}
