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
	// FromEnv starts from what a user of the command line expects: credentials, certificate authorities, proxies and
	// COSIGN_REPOSITORY from the environment. What else is set here comes on top.
	FromEnv bool
	// CAPEM holds certificate authorities to trust beside the system's, or instead of them with OnlyCAPEM.
	CAPEM     []byte
	OnlyCAPEM bool
	// ClientCertificatePEM and ClientKeyPEM are shown to registries that ask for them; the key is unencrypted.
	ClientCertificatePEM, ClientKeyPEM []byte
	// CertsDirs are folders with certificates for each registry, as docker and podman keep them (certs.d).
	CertsDirs []string
	// BasicAuth and Token hold credentials by registry host.
	BasicAuth map[string]BasicAuth
	Token     map[string]string
	// DockerConfig is the text of a docker config.json; no file is read.
	DockerConfig []byte
	// CredentialHelpers lets the helpers that a docker config names be started.
	CredentialHelpers bool
	// TokenServers maps a registry to hosts of other domains that its credentials may go to.
	TokenServers map[string][]string
	// HTTPSProxy, HTTPProxy and NoProxy are as HTTPS_PROXY, HTTP_PROXY and NO_PROXY. If one is set, FromEnv counts for
	// none of them.
	HTTPSProxy, HTTPProxy, NoProxy string
	// DangerousAllowHTTP lists hosts to talk to in plain HTTP; everyone on the way can read and change that.
	DangerousAllowHTTP []string
	// RekorURL is the transparency log to which signatures go and in which they are looked for; Rekor's public one, or
	// with FromEnv that of REKOR_SERVER, unless another is named. Only calls that were told to use a log ask it.
	RekorURL string
	// NoLayouts refuses "oci:PATH"; for services that take references from strangers.
	NoLayouts bool
	// SignatureRepository keeps signatures there instead of in the images' own repositories, as COSIGN_REPOSITORY does for
	// cosign.
	SignatureRepository string
	// MaxCalls bounds how many calls run at once, each of which holds a thread; 0 means no bound.
	MaxCalls int
}

// Client signs and verifies images. Share one among all goroutines.
type Client struct {
	handle[*C.cosign_client]
	slots chan struct{}
}

// NewClient makes a client; nil options are the defaults. Nothing is read from the environment but by FromEnv.
func NewClient(options *ClientOptions) (*Client, error) {
	if options == nil {
		options = &ClientOptions{}
	}
	var o *C.cosign_client_options
	if options.FromEnv {
		o = C.cosign_client_options_from_env()
	} else {
		o = C.cosign_client_options_new()
	}
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
	if options.RekorURL != "" {
		if err := withTexts(func(t []*C.char) { C.cosign_client_options_set_rekor_url(o, t[0]) }, options.RekorURL); err != nil {
			return err
		}
	}
	if options.OnlyCAPEM {
		data, len := bytesOf(options.CAPEM)
		C.cosign_client_options_set_ca_pem(o, data, len)
	} else if len(options.CAPEM) > 0 {
		data, len := bytesOf(options.CAPEM)
		C.cosign_client_options_add_ca_pem(o, data, len)
	}
	if len(options.ClientCertificatePEM) > 0 || len(options.ClientKeyPEM) > 0 {
		data, len := bytesOf(options.ClientCertificatePEM)
		key, keyLen := bytesOf(options.ClientKeyPEM)
		C.cosign_client_options_set_client_certificate(o, data, len, key, keyLen)
	}
	for _, folder := range options.CertsDirs {
		if err := withTexts(func(t []*C.char) { C.cosign_client_options_add_certs_dir(o, t[0]) }, folder); err != nil {
			return err
		}
	}
	if options.CredentialHelpers {
		C.cosign_client_options_allow_credential_helpers(o, 1)
	}
	for registry, servers := range options.TokenServers {
		for _, server := range servers {
			allow := func(t []*C.char) { C.cosign_client_options_allow_token_server(o, t[0], t[1]) }
			if err := withTexts(allow, registry, server); err != nil {
				return err
			}
		}
	}
	if options.HTTPSProxy != "" || options.HTTPProxy != "" || options.NoProxy != "" {
		set := func(t []*C.char) { C.cosign_client_options_set_proxy(o, t[0], t[1], t[2]) }
		if err := withTexts(set, options.HTTPSProxy, options.HTTPProxy, options.NoProxy); err != nil {
			return err
		}
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
	if options.SignatureRepository != "" {
		set := func(t []*C.char) { C.cosign_client_options_set_signature_repository(o, t[0]) }
		if err := withTexts(set, options.SignatureRepository); err != nil {
			return err
		}
	}
	if options.NoLayouts {
		C.cosign_client_options_set_layouts(o, 0)
	}
	return nil
}

// The formats of signatures.
const (
	// FormatLegacy is cosign's signature image, which cosign 1 to 3, skopeo and podman read.
	FormatLegacy = "legacy"
	// FormatBundle is a sigstore bundle that refers to the image, as cosign 3 writes it.
	FormatBundle = "bundle"
	// FormatBoth is both.
	FormatBoth = "both"
)

// Whether a signature goes to the transparency log.
const (
	// TlogNever tells the log nothing.
	TlogNever = "never"
	// TlogPublic tells it of images that everybody may read; images in layouts are private.
	TlogPublic = "public"
	// TlogAlways tells it of private images, too.
	TlogAlways = "always"
)

// SignOptions says how to sign.
type SignOptions struct {
	// Annotations are signed along with the image's digest.
	Annotations map[string]string
	// Format is FormatLegacy unless another is named.
	Format string
	// NoJournal takes fewer requests; others who sign at the same time can then make the signature lost.
	NoJournal bool
	// Identity is what the legacy payload calls the image instead of its repository.
	Identity string
	// DockerMediaTypes gives a new legacy signature image Docker's media types.
	DockerMediaTypes bool
	// LayoutTag names the image's entry in its layout.
	LayoutTag string
	// TagSuffix is ".sig" unless another is named; ".cosign" in 2021.
	TagSuffix string
	// Recursive signs everything that an index leads to as well, each image for itself.
	Recursive bool
	// Tlog is TlogNever unless another is named. The JSON of the result says what came of it.
	Tlog string
	// PayloadForm is the spelling of the legacy payload: "today" unless "2021" is named.
	PayloadForm string
	// Payload is the exact bytes to sign or to attach instead of a payload of our own, in any format; legacy only.
	Payload []byte
}

// build makes C's options, which the caller frees; nil are the defaults.
func (options *SignOptions) build() (*C.cosign_sign_options, error) {
	o := C.cosign_sign_options_new()
	if options == nil {
		return o, nil
	}
	if err := options.apply(o); err != nil {
		C.cosign_sign_options_free(o)
		return nil, err
	}
	return o, nil
}

func (options *SignOptions) apply(o *C.cosign_sign_options) error {
	for _, name := range slices.Sorted(maps.Keys(options.Annotations)) {
		add := func(t []*C.char) { C.cosign_sign_options_add_annotation(o, t[0], t[1]) }
		if err := withTexts(add, name, options.Annotations[name]); err != nil {
			return err
		}
	}
	texts := []struct {
		value string
		set   func([]*C.char)
	}{
		{options.Format, func(t []*C.char) { C.cosign_sign_options_set_format(o, t[0]) }},
		{options.Identity, func(t []*C.char) { C.cosign_sign_options_set_identity(o, t[0]) }},
		{options.LayoutTag, func(t []*C.char) { C.cosign_sign_options_set_layout_tag(o, t[0]) }},
		{options.TagSuffix, func(t []*C.char) { C.cosign_sign_options_set_tag_suffix(o, t[0]) }},
		{options.Tlog, func(t []*C.char) { C.cosign_sign_options_set_tlog(o, t[0]) }},
		{options.PayloadForm, func(t []*C.char) { C.cosign_sign_options_set_payload_form(o, t[0]) }},
	}
	for _, text := range texts {
		if text.value == "" {
			continue
		}
		if err := withTexts(text.set, text.value); err != nil {
			return err
		}
	}
	if options.NoJournal {
		C.cosign_sign_options_set_journal(o, 0)
	}
	if options.DockerMediaTypes {
		C.cosign_sign_options_set_docker_media_types(o, 1)
	}
	if options.Recursive {
		C.cosign_sign_options_set_recursive(o, 1)
	}
	if options.Payload != nil {
		data, len := bytesOf(options.Payload)
		C.cosign_sign_options_set_payload(o, data, len)
	}
	return nil
}

// Status says how well a signature is stored; expect ones that this package does not know yet.
type Status string

const (
	// Stored: every tool finds it, and nobody who signs at the same time can make it unseen.
	Stored Status = "stored"
	// StoredUnprotected: every tool finds it now; somebody who signs at the same time may have overwritten it unseen.
	StoredUnprotected Status = "stored_unprotected"
	// JournalOnly: this library finds it, other tools do not.
	JournalOnly Status = "journal_only"
)

// StoredSignature is one signature that was stored.
type StoredSignature struct {
	// Reference is the image that it is of, pinned: the one that was named, or one that its index leads to.
	Reference string
	// Format is FormatLegacy or FormatBundle.
	Format string
	// Place is where it is.
	Place string
	// Added is false when the same key had signed the same before.
	Added bool
	// Status says how well it is stored, and Reason why that is not Stored.
	Status Status
	Reason string
}

// Signed says what signing did.
type Signed struct {
	// Digest is the digest that was signed, Reference the image pinned to it.
	Digest, Reference string
	// Status is that of the least protected signature, and Reason why it is not Stored.
	Status Status
	Reason string
	// Added says whether anything new was stored.
	Added bool
	// LayoutNeedsName says that the image has no name in its layout, which some tools need beside a signature.
	LayoutNeedsName bool
	// Signatures are one for each format; signed recursively, for each image, the index's first.
	Signatures []StoredSignature
	// JSON holds all of it.
	JSON string
}

// Sign signs what image names now, stores the signature beside it, and says how well: see [Signed.Status].
func (c *Client) Sign(ctx context.Context, image string, key *PrivateKey, options *SignOptions) (signed *Signed, err error) {
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
			var out *C.cosign_signed
			var e *C.cosign_error
			if err := check(C.cosign_sign_image(p, ref, k, o, call, &out, &e), &e); err != nil {
				return err
			}
			defer C.cosign_signed_free(out)
			signed = newSigned(out)
			return nil
		})
	})
	return signed, err
}

func newSigned(s *C.cosign_signed) *Signed {
	signed := &Signed{
		Digest:          C.GoString(C.cosign_signed_digest(s)),
		Reference:       C.GoString(C.cosign_signed_reference(s)),
		Status:          Status(C.GoString(C.cosign_signed_status(s))),
		Reason:          C.GoString(C.cosign_signed_reason(s)),
		Added:           C.cosign_signed_added(s) != 0,
		LayoutNeedsName: C.cosign_signed_layout_needs_name(s) != 0,
		JSON:            C.GoString(C.cosign_signed_json(s)),
	}
	for i := C.size_t(0); i < C.cosign_signed_count(s); i++ {
		signed.Signatures = append(signed.Signatures, StoredSignature{
			Reference: C.GoString(C.cosign_signed_reference_at(s, i)),
			Format:    C.GoString(C.cosign_signed_format_at(s, i)),
			Place:     C.GoString(C.cosign_signed_place_at(s, i)),
			Added:     C.cosign_signed_added_at(s, i) != 0,
			Status:    Status(C.GoString(C.cosign_signed_status_at(s, i))),
			Reason:    C.GoString(C.cosign_signed_reason_at(s, i)),
		})
	}
	return signed
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
	// Tlog demands that each counted signature has an entry in a transparency log that the policy trusts.
	Tlog bool
	// LogKeys are the keys of trusted transparency logs; none is built in.
	LogKeys []*PublicKey
	// TrustedRoot is the text of a trusted_root.json whose logs are trusted as well.
	TrustedRoot []byte
}

// addKeys gives each of keys to add.
func addKeys(keys []*PublicKey, add func(*C.cosign_public_key)) error {
	for _, key := range keys {
		if key == nil {
			return errNilKey
		}
		err := key.use(func(k *C.cosign_public_key) error {
			add(k)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (policy *Policy) build() (*C.cosign_policy, error) {
	p := C.cosign_policy_new()
	if policy == nil {
		return p, nil // which the library refuses as an empty policy
	}
	err := addKeys(policy.Keys, func(k *C.cosign_public_key) { C.cosign_policy_add_key(p, k) })
	if err == nil {
		err = addKeys(policy.LogKeys, func(k *C.cosign_public_key) { C.cosign_policy_add_log_key(p, k) })
	}
	if err != nil {
		C.cosign_policy_free(p)
		return nil, err
	}
	if len(policy.TrustedRoot) > 0 {
		data, len := bytesOf(policy.TrustedRoot)
		C.cosign_policy_add_trusted_root(p, data, len)
	}
	if policy.Tlog {
		C.cosign_policy_set_tlog(p, 1)
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
	// Signatures are those that the policy accepted, at least one.
	Signatures []VerifiedSignature
	// JSON holds every signature and every check of it: passed, failed or skipped, and why.
	JSON string
}

// VerifiedSignature is one signature that the policy accepted.
type VerifiedSignature struct {
	// Format is FormatLegacy or FormatBundle.
	Format string
	// Payload is the exact bytes that it signed: the simple-signing payload, or the in-toto statement of a bundle.
	Payload []byte
}

// VerifyOptions says where and how strictly to look for signatures.
type VerifyOptions struct {
	// Format is the only one that counts; FormatBoth unless another is named.
	Format string
	// NoJournal never reads the journal, where signatures wait that somebody else has overwritten.
	NoJournal bool
	// TagSuffix is ".sig" unless another is named; ".cosign" in 2021.
	TagSuffix string
	// SignatureReference names the signature image itself, in a registry or a layout: it is read instead of looking for
	// signatures of the image.
	SignatureReference string
	// Offline asks no transparency log: an entry that the policy demands must stand beside the signature.
	Offline bool
	// DangerousAnyPayloadType accepts legacy payloads of any type: one made for something else may count.
	DangerousAnyPayloadType bool
	// DangerousAnyPredicateType counts attestations by an accepted key as signatures too, as cosign 3.1 does.
	DangerousAnyPredicateType bool
	// DangerousIgnoreClaims does not check what the payload says: a signature of another image counts.
	DangerousIgnoreClaims bool
}

func (options *VerifyOptions) apply(o *C.cosign_verify_options) error {
	if options.Format != "" {
		if err := withTexts(func(t []*C.char) { C.cosign_verify_options_set_format(o, t[0]) }, options.Format); err != nil {
			return err
		}
	}
	if options.TagSuffix != "" {
		set := func(t []*C.char) { C.cosign_verify_options_set_tag_suffix(o, t[0]) }
		if err := withTexts(set, options.TagSuffix); err != nil {
			return err
		}
	}
	if options.SignatureReference != "" {
		set := func(t []*C.char) { C.cosign_verify_options_set_signature_reference(o, t[0]) }
		if err := withTexts(set, options.SignatureReference); err != nil {
			return err
		}
	}
	if options.NoJournal {
		C.cosign_verify_options_set_journal(o, 0)
	}
	if options.Offline {
		C.cosign_verify_options_set_offline(o, 1)
	}
	if options.DangerousAnyPayloadType {
		C.cosign_verify_options_dangerous_any_payload_type(o)
	}
	if options.DangerousAnyPredicateType {
		C.cosign_verify_options_dangerous_any_predicate_type(o)
	}
	if options.DangerousIgnoreClaims {
		C.cosign_verify_options_dangerous_ignore_claims(o)
	}
	return nil
}

// Verify returns a verification only when the policy is met, and the reason as an error otherwise.
func (c *Client) Verify(ctx context.Context, image string, policy *Policy) (*Verification, error) {
	return c.VerifyWith(ctx, image, policy, nil)
}

// VerifyWith is [Client.Verify] with options; nil are the defaults.
func (c *Client) VerifyWith(ctx context.Context, image string, policy *Policy, options *VerifyOptions) (verification *Verification, err error) {
	demands, err := policy.build()
	if err != nil {
		return nil, err
	}
	defer C.cosign_policy_free(demands)
	if options == nil {
		options = &VerifyOptions{}
	}
	o := C.cosign_verify_options_new()
	defer C.cosign_verify_options_free(o)
	if err := options.apply(o); err != nil {
		return nil, err
	}
	err = c.do(ctx, image, func(p *C.cosign_client, ref *C.char, call *C.cosign_call) error {
		var v *C.cosign_verification
		var e *C.cosign_error
		if err := check(C.cosign_verify_image_with(p, ref, demands, o, call, &v, &e), &e); err != nil {
			return err
		}
		defer C.cosign_verification_free(v)
		verification = newVerification(v)
		return nil
	})
	return verification, err
}

func newVerification(v *C.cosign_verification) *Verification {
	verification := &Verification{
		Digest:    C.GoString(C.cosign_verification_digest(v)),
		Reference: C.GoString(C.cosign_verification_reference(v)),
		JSON:      C.GoString(C.cosign_verification_json(v)),
	}
	for i := C.size_t(0); i < C.cosign_verification_count(v); i++ {
		var len C.size_t
		data := C.cosign_verification_payload(v, i, &len)
		verification.Signatures = append(verification.Signatures, VerifiedSignature{
			Format:  C.GoString(C.cosign_verification_format_at(v, i)),
			Payload: C.GoBytes(unsafe.Pointer(data), C.int(len)),
		})
	}
	return verification
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
