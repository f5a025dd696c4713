package tests

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/libcosign/cosign"
)

// indexOf is an index that leads to the example image, and its digest.
func indexOf() (text, sum string) {
	text = fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[`+
		`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":499}]}`, digest)
	hash := sha256.Sum256([]byte(text))
	return text, "sha256:" + hex.EncodeToString(hash[:])
}

func signsBoth(t *testing.T, index, child string) {
	t.Helper()
	client := newClient(t, nil)
	key, public := newKey(t)
	policy := &cosign.Policy{Keys: []*cosign.PublicKey{public}}
	alone := must[*cosign.Signed](t)(client.Sign(background, index, key, nil))
	if len(alone.Signatures) != 1 || alone.Signatures[0].Reference != alone.Reference {
		t.Fatalf("%+v", alone)
	}
	if _, err := client.Verify(background, child, policy); err == nil {
		t.Fatal("a child was signed")
	}
	signed := must[*cosign.Signed](t)(client.Sign(background, index, key, &cosign.SignOptions{Recursive: true}))
	if len(signed.Signatures) != 2 || signed.Signatures[0].Added || !signed.Signatures[1].Added || signed.Status != cosign.Stored {
		t.Fatalf("%+v", signed)
	}
	if !strings.HasSuffix(signed.Signatures[1].Reference, "@"+digest) {
		t.Fatalf("%+v", signed)
	}
	for _, at := range []string{index, child} {
		must[*cosign.Verification](t)(client.Verify(background, at, policy))
	}
}

func TestAnIndexInALayoutIsSignedWithWhatItLeadsTo(t *testing.T) {
	child := image(t)
	folder := strings.TrimSuffix(strings.TrimPrefix(child, "oci:"), ":v1")
	text, sum := indexOf()
	blob := filepath.Join(folder, "blobs", "sha256", strings.TrimPrefix(sum, "sha256:"))
	if err := os.WriteFile(blob, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	signsBoth(t, "oci:"+folder+"@"+sum, child)
}

func TestAnIndexInARegistryIsSignedWithWhatItLeadsTo(t *testing.T) {
	r := startRegistry(t)
	text, _ := indexOf()
	manifest, err := os.ReadFile("../../examples/image/blobs/sha256/" + strings.TrimPrefix(digest, "sha256:"))
	if err != nil {
		t.Fatal(err)
	}
	add := func(tag, mediaType string, bytes []byte) {
		r.tell(fmt.Sprintf(`{"add_manifest": {"repository": "team/app", "tag": %q, "media_type": %q, "base64": %q}}`,
			tag, mediaType, base64.StdEncoding.EncodeToString(bytes)))
	}
	add("v1", "application/vnd.oci.image.manifest.v1+json", manifest)
	add("all", "application/vnd.oci.image.index.v1+json", []byte(text))
	signsBoth(t, r.host+"/team/app:all", r.host+"/team/app@"+digest)
}
