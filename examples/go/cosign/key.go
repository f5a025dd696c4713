package cosign

// #include <stdlib.h>
// #include <cosign.h>
import "C"

import "context"

// PrivateKey is a decrypted private key: decrypt once, sign many times.
type PrivateKey struct {
	handle[*C.cosign_private_key]
}

func newPrivateKey(p *C.cosign_private_key) *PrivateKey {
	k := &PrivateKey{}
	k.own(p, func(p *C.cosign_private_key) { C.cosign_private_key_free(p) })
	return k
}

// GenerateKey makes a new key: "ecdsa-p256" (or ""), "ecdsa-p384", "ecdsa-p521", "ed25519", "rsa-2048", "rsa-3072" or
// "rsa-4096".
func GenerateKey(algorithm string) (*PrivateKey, error) {
	var name *C.char
	if algorithm != "" {
		var err error
		if name, err = cText(algorithm); err != nil {
			return nil, err
		}
		defer freeText(name)
	}
	var p *C.cosign_private_key
	var e *C.cosign_error
	if err := check(C.cosign_private_key_generate(name, &p, &e), &e); err != nil {
		return nil, err
	}
	return newPrivateKey(p), nil
}

// ParsePrivateKey opens an encrypted key file, as GenerateKey's PEM and the command cosign write it.
func ParsePrivateKey(ctx context.Context, pem []byte, password PasswordFunc) (*PrivateKey, error) {
	data, len := bytesOf(pem)
	var p *C.cosign_private_key
	err := withCall(ctx, password, func(call *C.cosign_call) error {
		var e *C.cosign_error
		return check(C.cosign_private_key_from_pem(data, len, call, &p, &e), &e)
	})
	if err != nil {
		return nil, err
	}
	return newPrivateKey(p), nil
}

// ImportPrivateKey reads an unencrypted PKCS#8, SEC 1 or PKCS#1 key of another program.
func ImportPrivateKey(pem []byte) (*PrivateKey, error) {
	data, len := bytesOf(pem)
	var p *C.cosign_private_key
	var e *C.cosign_error
	if err := check(C.cosign_private_key_import_pem(data, len, &p, &e), &e); err != nil {
		return nil, err
	}
	return newPrivateKey(p), nil
}

// PEM is the key as a key file, encrypted with the password that the function answers with attempt 0.
func (k *PrivateKey) PEM(ctx context.Context, password PasswordFunc) (pem []byte, err error) {
	err = k.use(func(p *C.cosign_private_key) error {
		return withCall(ctx, password, func(call *C.cosign_call) error {
			var out *C.cosign_buffer
			var e *C.cosign_error
			if err := check(C.cosign_private_key_to_pem(p, nil, call, &out, &e), &e); err != nil {
				return err
			}
			pem = takeBuffer(out)
			return nil
		})
	})
	return pem, err
}

// Public is the public half.
func (k *PrivateKey) Public() (public *PublicKey, err error) {
	err = k.use(func(p *C.cosign_private_key) error {
		var out *C.cosign_public_key
		var e *C.cosign_error
		if err := check(C.cosign_private_key_public(p, &out, &e), &e); err != nil {
			return err
		}
		public = newPublicKey(out)
		return nil
	})
	return public, err
}

// String names no secret.
func (k *PrivateKey) String() string { return "<cosign.PrivateKey>" }

// GoString names no secret.
func (k *PrivateKey) GoString() string { return k.String() }

// PublicKey is a public key.
type PublicKey struct {
	handle[*C.cosign_public_key]
}

func newPublicKey(p *C.cosign_public_key) *PublicKey {
	k := &PublicKey{}
	k.own(p, func(p *C.cosign_public_key) { C.cosign_public_key_free(p) })
	return k
}

// ParsePublicKey reads a PEM block "PUBLIC KEY".
func ParsePublicKey(pem []byte) (*PublicKey, error) {
	data, len := bytesOf(pem)
	var p *C.cosign_public_key
	var e *C.cosign_error
	if err := check(C.cosign_public_key_from_pem(data, len, &p, &e), &e); err != nil {
		return nil, err
	}
	return newPublicKey(p), nil
}

// PEM is the key as a PEM block "PUBLIC KEY".
func (k *PublicKey) PEM() (pem []byte, err error) {
	err = k.use(func(p *C.cosign_public_key) error {
		var out *C.cosign_buffer
		var e *C.cosign_error
		if err := check(C.cosign_public_key_to_pem(p, &out, &e), &e); err != nil {
			return err
		}
		pem = takeBuffer(out)
		return nil
	})
	return pem, err
}

// Fingerprint is the SHA-256 of the key's SubjectPublicKeyInfo in lower-case hex, "" after Close.
func (k *PublicKey) Fingerprint() (hex string) {
	_ = k.use(func(p *C.cosign_public_key) error {
		hex = C.GoString(C.cosign_public_key_fingerprint(p))
		return nil
	})
	return hex
}
