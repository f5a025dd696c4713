// Package tests drives the Go package over an installed library; tests/faces/go.sh runs it.
package tests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/libcosign/cosign"
)

const digest = "sha256:ea9afc656d4fdc1d3b6adcc5e9e0afe2f52bf239f37ecd2d0e40628a78614c82"

var background = context.Background()

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// image is the reference of a fresh copy of the example image.
func image(t *testing.T) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "image")
	if err := os.CopyFS(copied, os.DirFS("../../examples/image")); err != nil {
		t.Fatal(err)
	}
	return "oci:" + copied + ":v1"
}

func newKey(t *testing.T) (*cosign.PrivateKey, *cosign.PublicKey) {
	t.Helper()
	key := must[*cosign.PrivateKey](t)(cosign.GenerateKey(""))
	return key, must[*cosign.PublicKey](t)(key.Public())
}

func newClient(t *testing.T, options *cosign.ClientOptions) *cosign.Client {
	t.Helper()
	client := must[*cosign.Client](t)(cosign.NewClient(options))
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func wantCode(t *testing.T, err error, code int) {
	t.Helper()
	var e *cosign.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no *cosign.Error", err)
	}
	if e.Code != code || !errors.Is(err, &cosign.Error{Code: code}) {
		t.Fatalf("code %d (%s: %v), expected %d", e.Code, e.Name(), err, code)
	}
	if e.Message == "" || !strings.HasPrefix(e.JSON, "{") {
		t.Fatalf("an error without message or JSON: %#v", e)
	}
}

func TestSignsAndVerifies(t *testing.T) {
	at, client := image(t), newClient(t, nil)
	key, public := newKey(t)
	signed := must[*cosign.Signed](t)(client.Sign(background, at, key, nil))
	if signed.Digest != digest || signed.Status != cosign.Stored || signed.Reason != "" || !signed.Added {
		t.Fatalf("%+v", signed)
	}
	v := must[*cosign.Verification](t)(client.Verify(background, at, &cosign.Policy{Keys: []*cosign.PublicKey{public}}))
	if v.Digest != digest || len(v.Signatures) != 1 || !bytes.Contains(v.Signatures[0].Payload, []byte(digest)) {
		t.Fatalf("%+v", v)
	}
	pinned := must[string](t)(client.Resolve(background, at))
	if signed.Reference != pinned || v.Reference != pinned || !strings.HasSuffix(pinned, "@"+digest) {
		t.Fatal(v.Reference, pinned)
	}
	if !strings.Contains(v.JSON, `"checks"`) {
		t.Fatal(v.JSON)
	}
}

func TestVerdictsAreDifferentErrors(t *testing.T) {
	at, client := image(t), newClient(t, nil)
	key, public := newKey(t)
	_, other := newKey(t)
	policy := &cosign.Policy{Keys: []*cosign.PublicKey{public}}
	_, err := client.Verify(background, at, policy)
	wantCode(t, err, cosign.ErrNoSignatures)
	must[*cosign.Signed](t)(client.Sign(background, at, key, nil))
	v, err := client.Verify(background, at, &cosign.Policy{Keys: []*cosign.PublicKey{other}})
	wantCode(t, err, cosign.ErrNoSignatureMatches)
	if v != nil {
		t.Fatal("a refusal came with a verification")
	}
	_, err = client.Verify(background, at+"x", policy)
	wantCode(t, err, cosign.ErrImageNotFound)
	_, err = client.Verify(background, at, &cosign.Policy{})
	wantCode(t, err, cosign.ErrPolicyEmpty)
}

func TestAnnotationsAndThreshold(t *testing.T) {
	at, client := image(t), newClient(t, nil)
	one, onePublic := newKey(t)
	two, twoPublic := newKey(t)
	options := &cosign.SignOptions{Annotations: map[string]string{"env": "prod", "a": "b"}}
	must[*cosign.Signed](t)(client.Sign(background, at, one, options))
	policy := &cosign.Policy{Keys: []*cosign.PublicKey{onePublic, twoPublic}, Annotations: map[string]string{"env": "prod"}}
	must[*cosign.Verification](t)(client.Verify(background, at, policy))
	policy.Threshold = 2
	_, err := client.Verify(background, at, policy)
	wantCode(t, err, cosign.ErrThreshold)
	must[*cosign.Signed](t)(client.Sign(background, at, two, options))
	must[*cosign.Verification](t)(client.Verify(background, at, policy))
	policy.Annotations["env"] = "test"
	_, err = client.Verify(background, at, policy)
	wantCode(t, err, cosign.ErrNoSignatureMatches)
}

func TestKeyFiles(t *testing.T) {
	key, public := newKey(t)
	pem := must[[]byte](t)(key.PEM(background, cosign.Password("right")))
	again := must[*cosign.PrivateKey](t)(cosign.ParsePrivateKey(background, pem, cosign.Password("right")))
	againPublic := must[*cosign.PublicKey](t)(again.Public())
	if len(public.Fingerprint()) != 64 || public.Fingerprint() != againPublic.Fingerprint() {
		t.Fatal("another key came back")
	}
	_, err := cosign.ParsePrivateKey(background, pem, cosign.Password("wrong"))
	wantCode(t, err, cosign.ErrPasswordWrong)
	_, err = cosign.ParsePrivateKey(background, pem, nil)
	wantCode(t, err, cosign.ErrPasswordRequired)
	_, err = cosign.ParsePrivateKey(background, pem[:100], cosign.Password("right"))
	wantCode(t, err, cosign.ErrKeyFormat)
	parsed := must[*cosign.PublicKey](t)(cosign.ParsePublicKey(must[[]byte](t)(public.PEM())))
	if parsed.Fingerprint() != public.Fingerprint() {
		t.Fatal("another public key came back")
	}
	if text := fmt.Sprintf("%v %+v %#v", key, key, key); strings.ContainsRune(text, '\n') || len(text) > 100 {
		t.Fatal(text)
	}
}

func TestPasswordErrorsAndPanicsComeOutOfTheCall(t *testing.T) {
	key, _ := newKey(t)
	mine := errors.New("mine")
	_, err := key.PEM(background, func(string, uint32) ([]byte, error) { return nil, mine })
	if err != mine {
		t.Fatal(err)
	}
	defer func() {
		if r := recover(); r != "boom" {
			t.Fatal(r)
		}
	}()
	_, _ = key.PEM(background, func(string, uint32) ([]byte, error) { panic("boom") })
	t.Fatal("the panic was swallowed")
}

func TestContextEndsACall(t *testing.T) {
	// A server that accepts and never answers.
	listener := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer listener.Close()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			defer connection.Close()
		}
	}()
	client := newClient(t, nil)
	_, public := newKey(t)
	policy := &cosign.Policy{Keys: []*cosign.PublicKey{public}}
	ctx, cancel := context.WithTimeout(background, 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := client.Verify(ctx, listener.Addr().String()+"/a/b:v1", policy)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	// A wide margin: this proves that it ends, not how fast the machine is.
	if took := time.Since(start); took > 10*time.Second {
		t.Fatal(took)
	}
	ended, cancel := context.WithCancel(background)
	cancel()
	if _, err := client.Verify(ended, image(t), policy); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func Test64GoroutinesOnOneLayout(t *testing.T) {
	at, client := image(t), newClient(t, &cosign.ClientOptions{MaxCalls: 16})
	const signers = 16
	policy := &cosign.Policy{Threshold: signers}
	errs := make(chan error, 64)
	var group sync.WaitGroup
	for range signers {
		key, public := newKey(t)
		policy.Keys = append(policy.Keys, public)
		group.Add(1)
		go func() {
			defer group.Done()
			_, err := client.Sign(background, at, key, nil)
			errs <- err
		}()
	}
	group.Wait()
	for range 64 - signers {
		group.Add(1)
		go func() {
			defer group.Done()
			v, err := client.Verify(background, at, policy)
			if err == nil && len(v.Signatures) != signers {
				err = fmt.Errorf("%d signatures", len(v.Signatures))
			}
			errs <- err
			runtime.GC()
		}()
	}
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestCloseDuringAndAfterUse(t *testing.T) {
	at := image(t)
	client := must[*cosign.Client](t)(cosign.NewClient(nil))
	key, public := newKey(t)
	must[*cosign.Signed](t)(client.Sign(background, at, key, nil))
	policy := &cosign.Policy{Keys: []*cosign.PublicKey{public}}
	var group sync.WaitGroup
	for range 16 {
		group.Add(1)
		go func() {
			defer group.Done()
			for range 20 {
				// Either it came before Close and worked, or after it and was refused.
				_, err := client.Verify(background, at, policy)
				if err != nil && !errors.Is(err, &cosign.Error{Code: cosign.ErrArgument}) {
					t.Error(err)
				}
			}
		}()
	}
	_ = client.Close()
	_ = client.Close()
	group.Wait()
	_, err := client.Verify(background, at, policy)
	wantCode(t, err, cosign.ErrArgument)
}

func TestTheCollectorFreesWhatNobodyClosed(t *testing.T) {
	at := image(t)
	for range 50 {
		key, public := newKey(t)
		client := must[*cosign.Client](t)(cosign.NewClient(nil))
		must[*cosign.Signed](t)(client.Sign(background, at, key, nil))
		must[*cosign.Verification](t)(client.Verify(background, at, &cosign.Policy{Keys: []*cosign.PublicKey{public}}))
		runtime.GC()
	}
}

func TestZeroBytesAreRefusedNotCut(t *testing.T) {
	client := newClient(t, nil)
	key, _ := newKey(t)
	_, err := client.Sign(background, image(t)+"\x00evil", key, nil)
	wantCode(t, err, cosign.ErrEncoding)
}

func TestNilIsAnErrorAndNotAPanic(t *testing.T) {
	at, client := image(t), newClient(t, nil)
	_, public := newKey(t)
	_, err := client.Sign(background, at, nil, nil)
	wantCode(t, err, cosign.ErrArgument)
	_, err = client.Verify(background, at, nil)
	wantCode(t, err, cosign.ErrPolicyEmpty)
	_, err = client.Verify(background, at, &cosign.Policy{Keys: []*cosign.PublicKey{public, nil}})
	wantCode(t, err, cosign.ErrArgument)
}

func TestLayoutsCanBeSwitchedOff(t *testing.T) {
	client := newClient(t, &cosign.ClientOptions{NoLayouts: true, UserAgent: "tests/1"})
	if _, err := client.Resolve(background, image(t)); err == nil {
		t.Fatal("a layout was read")
	}
}

func TestVersion(t *testing.T) {
	if strings.Count(cosign.Version(), ".") != 2 {
		t.Fatal(cosign.Version())
	}
}
