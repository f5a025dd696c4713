package tests

import (
	"path/filepath"
	"strings"
	"testing"

	"example.com/libcosign/cosign"
)

func TestSignaturesInARepositoryOfTheirOwn(t *testing.T) {
	r := startRegistry(t)
	at, kept := r.image("team/app"), r.host+"/signatures"
	client, plain := newClient(t, &cosign.ClientOptions{SignatureRepository: kept}), newClient(t, nil)
	key, public := newKey(t)
	policy := &cosign.Policy{Keys: []*cosign.PublicKey{public}}
	signed := must[*cosign.Signed](t)(client.Sign(background, at, key, nil))
	if !strings.HasPrefix(signed.Signatures[0].Place, kept+":sha256-") {
		t.Fatalf("%+v", signed)
	}
	must[*cosign.Verification](t)(client.Verify(background, at, policy))
	_, err := plain.Verify(background, at, policy)
	wantCode(t, err, cosign.ErrNoSignatures)
	named := &cosign.VerifyOptions{SignatureReference: signed.Signatures[0].Place}
	must[*cosign.Verification](t)(plain.VerifyWith(background, at, policy, named))
	_, err = plain.VerifyWith(background, at, policy, &cosign.VerifyOptions{SignatureReference: "A/B"})
	wantCode(t, err, cosign.ErrReference)
	_, err = cosign.NewClient(&cosign.ClientOptions{SignatureRepository: "a.io/b:1"})
	wantCode(t, err, cosign.ErrReference)
}

func TestCleanGcAndCopy(t *testing.T) {
	for _, referrers := range []string{"on", "off"} {
		r := startRegistry(t)
		r.tell(`{"set": {"referrers": "` + referrers + `"}}`)
		at, client := r.image("team/app"), newClient(t, nil)
		key, public := newKey(t)
		policy := &cosign.Policy{Keys: []*cosign.PublicKey{public}}
		must[*cosign.Signed](t)(client.Sign(background, at, key, &cosign.SignOptions{Format: cosign.FormatBoth}))

		layout, there := "oci:"+filepath.Join(t.TempDir(), "layout")+":v1", r.host+"/mirror/app:v1"
		copied := must[*cosign.Copied](t)(client.Copy(background, at, layout, nil))
		if copied.Added != 2 || copied.Status != cosign.Stored || len(copied.Left) != 0 {
			t.Fatalf("%+v", copied)
		}
		copied = must[*cosign.Copied](t)(client.Copy(background, layout, there, &cosign.CopyOptions{Only: []string{"sig"}}))
		if copied.Added != 2 {
			t.Fatalf("%+v", copied)
		}
		must[*cosign.Copied](t)(client.Copy(background, layout, there, &cosign.CopyOptions{Force: true}))
		if v := must[*cosign.Verification](t)(client.Verify(background, there, policy)); len(v.Signatures) != 2 {
			t.Fatalf("%+v", v)
		}
		for _, wrong := range []*cosign.CopyOptions{{Only: []string{"everything"}}, {Platform: "linux/amd64"}} {
			_, err := client.Copy(background, at, there, wrong)
			wantCode(t, err, cosign.ErrArgument)
		}
		_, err := client.Copy(background, at, "A/B", nil)
		wantCode(t, err, cosign.ErrReference)

		collected := must[*cosign.Collected](t)(client.Gc(background, at, &cosign.GcOptions{Repair: true, WholeRepository: true}))
		if len(collected.Removed) != 0 || collected.Images != 1 || collected.Lost != 0 {
			t.Fatalf("%+v", collected)
		}
		_, err = client.Clean(background, at, "everything")
		wantCode(t, err, cosign.ErrArgument)
		r.tell(`{"fault": {"when": "DELETE *", "do": {"rate_limit": {"seconds": 0}}}}`)
		_, err = client.Clean(background, at, "")
		wantCode(t, err, cosign.ErrRateLimited)
		r.tell(`{"heal": {}}`)
		cleaned := must[*cosign.Cleaned](t)(client.Clean(background, at, ""))
		if len(cleaned.Removed) == 0 || len(cleaned.Kept) != 0 || cleaned.Removed[0].Place == "" {
			t.Fatalf("%+v", cleaned)
		}
		_, err = client.Verify(background, at, policy)
		wantCode(t, err, cosign.ErrNoSignatures)
		must[*cosign.Verification](t)(client.Verify(background, there, policy))
	}
}
