package tests

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"example.com/libcosign/cosign"
)

var blob = strings.Repeat("some bytes\n", 50_000)

func TestBlobsInEveryForm(t *testing.T) {
	key, public := newKey(t)
	policy := &cosign.Policy{Keys: []*cosign.PublicKey{public}}
	for _, form := range []string{"", cosign.BlobRaw, cosign.BlobBase64, cosign.BlobBundle, cosign.BlobOldBundle} {
		// A reader that answers nothing from time to time, and one byte at a time.
		signature := must[[]byte](t)(key.SignBlob(background, iotest.DataErrReader(strings.NewReader(blob)), &cosign.BlobOptions{Form: form}))
		given := &cosign.BlobSignatures{Name: "my blob", Hash: "sha256"}
		if strings.HasSuffix(form, "bundle") {
			given.Bundles = [][]byte{signature}
		} else {
			given.Signatures = [][]byte{signature}
		}
		verified := must[*cosign.Verification](t)(cosign.VerifyBlob(background, iotest.HalfReader(strings.NewReader(blob)), policy, given))
		if verified.Reference != "my blob" || !strings.HasPrefix(verified.Digest, "sha256:") || len(verified.Signatures) != 1 {
			t.Fatalf("%+v", verified)
		}
		_, err := cosign.VerifyBlob(background, strings.NewReader("other"), policy, given)
		wantCode(t, err, cosign.ErrNoSignatureMatches)
	}
}

func TestBlobsOfRealCosign(t *testing.T) {
	const vectors = "../vectors/bundles/"
	for _, kind := range []string{"p256", "p384", "p521", "ed25519", "rsa2048"} {
		pem := must[[]byte](t)(os.ReadFile(vectors + kind + ".pub"))
		policy := &cosign.Policy{Keys: []*cosign.PublicKey{must[*cosign.PublicKey](t)(cosign.ParsePublicKey(pem))}}
		for _, form := range []string{"sigstore", "old"} {
			bundle := must[[]byte](t)(os.ReadFile(vectors + "blob-" + kind + "." + form + ".json"))
			signed := must[*os.File](t)(os.Open(vectors + "blob.txt"))
			must[*cosign.Verification](t)(cosign.VerifyBlob(background, signed, policy, &cosign.BlobSignatures{Bundles: [][]byte{bundle}}))
			_ = signed.Close()
		}
	}
}

func TestABlobThatCannotBeReadIsNoShorterBlob(t *testing.T) {
	key, public := newKey(t)
	policy := &cosign.Policy{Keys: []*cosign.PublicKey{public}}
	signature := must[[]byte](t)(key.SignBlob(background, strings.NewReader(blob), nil))
	given := &cosign.BlobSignatures{Signatures: [][]byte{signature}}
	mine := errors.New("mine")
	broken := io.MultiReader(strings.NewReader(blob), iotest.ErrReader(mine))
	if _, err := cosign.VerifyBlob(background, broken, policy, given); err != mine {
		t.Fatal(err)
	}
	if _, err := key.SignBlob(background, iotest.ErrReader(mine), nil); err != mine {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	if _, err := cosign.VerifyBlob(ctx, strings.NewReader(blob), policy, given); err != context.Canceled {
		t.Fatal(err)
	}
	_, err := cosign.VerifyBlob(background, strings.NewReader(blob), policy, nil)
	wantCode(t, err, cosign.ErrArgument)
	_, err = cosign.VerifyBlob(background, strings.NewReader(blob), nil, given)
	wantCode(t, err, cosign.ErrPolicyEmpty)
	_, err = key.SignBlob(background, bytes.NewReader(nil), &cosign.BlobOptions{Form: "png"})
	wantCode(t, err, cosign.ErrArgument)
	defer func() {
		if recover() != "mine" {
			t.Fatal("the panic of a reader was lost")
		}
	}()
	_, _ = key.SignBlob(background, panicking{}, nil)
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("mine") }
