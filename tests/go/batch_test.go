package tests

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"example.com/libcosign/cosign"
)

// signedImages puts signed images into one repository; their references by digest.
func signedImages(t *testing.T, r *registry, client *cosign.Client, key *cosign.PrivateKey, count int) []string {
	t.Helper()
	var images []string
	for n := range count {
		digest := r.tell(fmt.Sprintf(`{"add_image": {"repository": "team/app", "tag": "v%d"}}`, n))
		image := fmt.Sprintf("%s/team/app@%s", r.host, digest)
		must[*cosign.Signed](t)(client.Sign(background, image, key, &cosign.SignOptions{NoJournal: true}))
		images = append(images, image)
	}
	return images
}

func TestABatchAnswersEveryImageOnce(t *testing.T) {
	r, client := startRegistry(t), newClient(t, nil)
	key, public := newKey(t)
	policy := &cosign.Policy{Keys: []*cosign.PublicKey{public}}
	images := signedImages(t, r, client, key, 6)
	images = append(images, r.image("team/unsigned"), "not a reference", "zero\x00byte", r.host+"/team/app:v0")
	wanted := map[uint64]int{6: cosign.ErrNoSignatures, 7: cosign.ErrReference, 8: cosign.ErrReference}
	for _, limits := range []*cosign.BatchOptions{nil, {AtOnce: 2, PerHost: 1, ImageTimeout: time.Minute}} {
		seen := map[uint64]bool{}
		for result, err := range client.VerifyImages(background, slices.Values(images), policy, nil, limits) {
			if seen[result.Index] || result.Index >= uint64(len(images)) {
				t.Fatalf("%+v %v", result, err)
			}
			seen[result.Index] = true
			if code, bad := wanted[result.Index]; bad {
				wantCode(t, err, code)
			} else if err != nil || result.Image != images[result.Index] || len(result.Verification.Signatures) != 1 {
				t.Fatalf("%+v %v", result, err)
			}
			if (err == nil) != (result.Verification != nil) {
				t.Fatalf("%+v %v", result, err)
			}
		}
		if len(seen) != len(images) {
			t.Fatal(seen)
		}
	}
	only := &cosign.VerifyOptions{Format: cosign.FormatBundle, NoJournal: true}
	for _, err := range client.VerifyImages(background, slices.Values(images[:2]), policy, only, nil) {
		wantCode(t, err, cosign.ErrNoSignatures)
	}
}

// endless yields the same image for ever, and counts.
func endless(image string, taken *int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for yield(image) {
			*taken++
		}
	}
}

func TestABatchTakesItsInputLazilyAndEndsWithTheLoop(t *testing.T) {
	r, client := startRegistry(t), newClient(t, nil)
	key, public := newKey(t)
	policy := &cosign.Policy{Keys: []*cosign.PublicKey{public}}
	image := signedImages(t, r, client, key, 1)[0]
	given, taken := 0, 0
	for _, err := range client.VerifyImages(background, endless(image, &taken), policy, nil, &cosign.BatchOptions{AtOnce: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		if given++; given == 100 {
			break
		}
	}
	// One may be on its way to the loop, one to the library, and one in its hands.
	if taken > given+16+3 {
		t.Fatal(taken)
	}

	// A panic of the body or of the input arrives where the loop stands.
	catch := func(f func()) (r any) {
		defer func() { r = recover() }()
		f()
		return nil
	}
	body := catch(func() {
		for range client.VerifyImages(background, endless(image, &taken), policy, nil, nil) {
			panic("body")
		}
	})
	input := catch(func() {
		broken := func(func(string) bool) { panic("input") }
		for range client.VerifyImages(background, broken, policy, nil, nil) {
			t.Error("a result of nothing")
		}
	})
	if body != "body" || input != "input" {
		t.Fatal(body, input)
	}
}

func TestABatchEndsWithItsContext(t *testing.T) {
	r, client := startRegistry(t), newClient(t, nil)
	key, public := newKey(t)
	policy := &cosign.Policy{Keys: []*cosign.PublicKey{public}}
	image := signedImages(t, r, client, key, 1)[0]
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	taken, stopped, last := 0, 0, error(nil)
	for result, err := range client.VerifyImages(ctx, endless(image, &taken), policy, nil, &cosign.BatchOptions{AtOnce: 1}) {
		cancel()
		last = err
		if err != nil {
			stopped++
			if !errors.Is(err, context.Canceled) || result.Verification != nil {
				t.Fatalf("%+v %v", result, err)
			}
		}
	}
	if stopped == 0 || stopped > 16 || !errors.Is(last, context.Canceled) {
		t.Fatal(stopped, last)
	}
	pairs := 0
	for result, err := range client.VerifyImages(ctx, slices.Values([]string{image}), policy, nil, nil) {
		pairs++
		if result.Index != cosign.NoImage || !errors.Is(err, context.Canceled) {
			t.Fatalf("%+v %v", result, err)
		}
	}
	for result, err := range client.VerifyImages(background, slices.Values([]string{image}), nil, nil, nil) {
		pairs++
		if result.Index != cosign.NoImage {
			t.Fatalf("%+v", result)
		}
		wantCode(t, err, cosign.ErrPolicyEmpty)
	}
	if pairs != 2 {
		t.Fatal(pairs)
	}
}
