package cosign

// #include <stdlib.h>
// #include <cosign.h>
import "C"

import (
	"context"
	"maps"
	"slices"
	"unsafe"
)

// BasicAuth is a user name and password for one registry.
type BasicAuth struct{ User, Password string }

// ClientOptions says where and how a client finds images.
type ClientOptions struct {
	UserAgent string
	// CAPEM holds certificate authorities to trust beside the system's.
	CAPEM []byte
	// BasicAuth and Token hold credentials by registry host.
	BasicAuth map[string]BasicAuth
	Token     map[string]string
	// DockerConfig is the text of a docker config.json; no file is read.
	DockerConfig []byte
	// DangerousAllowHTTP lists hosts to talk to in plain HTTP; everyone on the way can read and change that.
	DangerousAllowHTTP []string
	// NoLayouts refuses "oci:PATH"; for services that take references from strangers.
	NoLayouts bool
	// MaxCalls bounds how many calls run at once, each of which holds a thread; 0 means no bound.
	MaxCalls int
}

// Client signs and verifies images. Share one among all goroutines.
type Client struct {
	handle[*C.cosign_client]
	slots chan struct{}
}

// NewClient makes a client; nil options are the defaults. Nothing is read from the environment.
func NewClient(options *ClientOptions) (*Client, error) {
	if options == nil {
		options = &ClientOptions{}
	}
	o := C.cosign_client_options_new()
	defer C.cosign_client_options_free(o)
	if err := options.apply(o); err != nil {
		return nil, err
	}
	var p *C.cosign_client
	var e *C.cosign_error
	if err := check(C.cosign_client_new(o, &p, &e), &e); err != nil {
		return nil, err
	}
	c := &Client{}
	c.own(p, func(p *C.cosign_client) { C.cosign_client_free(p) })
	if options.MaxCalls > 0 {
		c.slots = make(chan struct{}, options.MaxCalls)
	}
	return c, nil
}

func (options *ClientOptions) apply(o *C.cosign_client_options) error {
	if options.UserAgent != "" {
		if err := withTexts(func(t []*C.char) { C.cosign_client_options_set_user_agent(o, t[0]) }, options.UserAgent); err != nil {
			return err
		}
	}
	if len(options.CAPEM) > 0 {
		data, len := bytesOf(options.CAPEM)
		C.cosign_client_options_add_ca_pem(o, data, len)
	}
	if len(options.DockerConfig) > 0 {
		data, len := bytesOf(options.DockerConfig)
		C.cosign_client_options_set_docker_config(o, data, len)
	}
	for host, auth := range options.BasicAuth {
		set := func(t []*C.char) { C.cosign_client_options_set_auth_basic(o, t[0], t[1], t[2]) }
		if err := withTexts(set, host, auth.User, auth.Password); err != nil {
			return err
		}
	}
	for host, token := range options.Token {
		set := func(t []*C.char) { C.cosign_client_options_set_auth_token(o, t[0], t[1]) }
		if err := withTexts(set, host, token); err != nil {
			return err
		}
	}
	for _, host := range options.DangerousAllowHTTP {
		if err := withTexts(func(t []*C.char) { C.cosign_client_options_dangerous_allow_http(o, t[0]) }, host); err != nil {
			return err
		}
	}
	if options.NoLayouts {
		C.cosign_client_options_set_layouts(o, 0)
	}
	return nil
}

// SignOptions says how to sign.
type SignOptions struct {
	// Annotations are signed along with the image's digest.
	Annotations map[string]string
}

// Sign signs what image names now, stores the signature beside it, and returns the digest that was signed.
func (c *Client) Sign(ctx context.Context, image string, key *PrivateKey, options *SignOptions) (digest string, err error) {
	if key == nil {
		return "", errNilKey
	}
	if options == nil {
		options = &SignOptions{}
	}
	o := C.cosign_sign_options_new()
	defer C.cosign_sign_options_free(o)
	for _, name := range slices.Sorted(maps.Keys(options.Annotations)) {
		add := func(t []*C.char) { C.cosign_sign_options_add_annotation(o, t[0], t[1]) }
		if err := withTexts(add, name, options.Annotations[name]); err != nil {
			return "", err
		}
	}
	err = key.use(func(k *C.cosign_private_key) error {
		return c.do(ctx, image, func(p *C.cosign_client, ref *C.char, call *C.cosign_call) error {
			var out *C.cosign_buffer
			var e *C.cosign_error
			if err := check(C.cosign_sign_image(p, ref, k, o, call, &out, &e), &e); err != nil {
				return err
			}
			digest = string(takeBuffer(out))
			return nil
		})
	})
	return digest, err
}

var errNilKey error = &Error{Code: ErrArgument, Message: "a key is nil", JSON: "{}"}

// Policy says what an image must carry to be accepted. Without a key it is an error, never a pass.
type Policy struct {
	// Keys accepts signatures of each of these.
	Keys []*PublicKey
	// Annotations must all be among the signed ones.
	Annotations map[string]string
	// Threshold demands acceptable signatures of this many distinct keys; 0 means 1.
	Threshold uint32
}

func (policy *Policy) build() (*C.cosign_policy, error) {
	p := C.cosign_policy_new()
	if policy == nil {
		return p, nil // which the library refuses as an empty policy
	}
	for _, key := range policy.Keys {
		err := errNilKey
		if key != nil {
			err = key.use(func(k *C.cosign_public_key) error {
				C.cosign_policy_add_key(p, k)
				return nil
			})
		}
		if err != nil {
			C.cosign_policy_free(p)
			return nil, err
		}
	}
	for name, value := range policy.Annotations {
		add := func(t []*C.char) { C.cosign_policy_require_annotation(p, t[0], t[1]) }
		if err := withTexts(add, name, value); err != nil {
			C.cosign_policy_free(p)
			return nil, err
		}
	}
	if policy.Threshold > 0 {
		C.cosign_policy_set_threshold(p, C.uint32_t(policy.Threshold))
	}
	return p, nil
}

// Verification says what was proven; only Verify makes one.
type Verification struct {
	// Digest is the digest that was verified: act on it, not on the tag.
	Digest string
	// Reference is the image pinned to that digest.
	Reference string
	// Payloads are the exact bytes that each accepted signature signed.
	Payloads [][]byte
	// JSON holds every signature and every check of it: passed, failed or skipped, and why.
	JSON string
}

// Verify returns a verification only when the policy is met, and the reason as an error otherwise.
func (c *Client) Verify(ctx context.Context, image string, policy *Policy) (verification *Verification, err error) {
	demands, err := policy.build()
	if err != nil {
		return nil, err
	}
	defer C.cosign_policy_free(demands)
	err = c.do(ctx, image, func(p *C.cosign_client, ref *C.char, call *C.cosign_call) error {
		var v *C.cosign_verification
		var e *C.cosign_error
		if err := check(C.cosign_verify_image(p, ref, demands, call, &v, &e), &e); err != nil {
			return err
		}
		defer C.cosign_verification_free(v)
		verification = &Verification{
			Digest:    C.GoString(C.cosign_verification_digest(v)),
			Reference: C.GoString(C.cosign_verification_reference(v)),
			JSON:      C.GoString(C.cosign_verification_json(v)),
		}
		for i := C.size_t(0); i < C.cosign_verification_count(v); i++ {
			var len C.size_t
			data := C.cosign_verification_payload(v, i, &len)
			verification.Payloads = append(verification.Payloads, C.GoBytes(unsafe.Pointer(data), C.int(len)))
		}
		return nil
	})
	return verification, err
}

// Resolve returns the reference pinned to the digest that it names now.
func (c *Client) Resolve(ctx context.Context, image string) (pinned string, err error) {
	err = c.do(ctx, image, func(p *C.cosign_client, ref *C.char, call *C.cosign_call) error {
		var out *C.cosign_buffer
		var e *C.cosign_error
		if err := check(C.cosign_client_resolve(p, ref, call, &out, &e), &e); err != nil {
			return err
		}
		pinned = string(takeBuffer(out))
		return nil
	})
	return pinned, err
}

// do is what every call about an image shares: a free slot, the reference as C text, and a call that ends with ctx.
func (c *Client) do(ctx context.Context, image string, f func(*C.cosign_client, *C.char, *C.cosign_call) error) error {
	if c.slots != nil {
		select {
		case c.slots <- struct{}{}:
			defer func() { <-c.slots }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ref, err := cText(image)
	if err != nil {
		return err
	}
	defer freeText(ref)
	return c.use(func(p *C.cosign_client) error {
		return withCall(ctx, nil, func(call *C.cosign_call) error { return f(p, ref, call) })
	})
}

// withTexts lends Go strings to C for the time of f.
func withTexts(f func([]*C.char), texts ...string) error {
	c := make([]*C.char, 0, len(texts))
	defer func() {
		for _, t := range c {
			freeText(t)
		}
	}()
	for _, text := range texts {
		t, err := cText(text)
		if err != nil {
			return err
		}
		c = append(c, t)
	}
	f(c)
	return nil
}
