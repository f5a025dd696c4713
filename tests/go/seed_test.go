package tests

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"example.com/libcosign/cosign"
)

// places are an image in a layout and one in a registry.
func places(t *testing.T) []string {
	t.Helper()
	r := startRegistry(t)
	r.tell(`{"add_image": {"repository": "team/app", "tag": "v1"}}`)
	return []string{image(t), r.host + "/team/app:v1"}
}

func TestWhatIsGeneratedIsSignedElsewhereAndAttached(t *testing.T) {
	client := newClient(t, nil)
	key, public := newKey(t)
	policy := &cosign.Policy{Keys: []*cosign.PublicKey{public}, Annotations: map[string]string{"a": "1"}}
	options := &cosign.SignOptions{Annotations: map[string]string{"a": "1"}}
	for _, at := range places(t) {
		payload := must[[]byte](t)(client.Generate(background, at, options))
		made := must[*cosign.DetachedSignature](t)(client.SignDetached(background, at, key, options))
		if !bytes.Equal(payload, made.Payload) || !bytes.HasSuffix(payload, []byte(`"optional":{"a":"1"}}`)) {
			t.Fatalf("%s, %s", payload, made.Payload)
		}
		_, err := client.Verify(background, at, policy)
		wantCode(t, err, cosign.ErrNoSignatures)
		given := &cosign.SignOptions{Payload: payload}
		attached := must[*cosign.Signed](t)(client.AttachSignature(background, at, made.Signature, given))
		if !attached.Added || attached.Status != cosign.Stored {
			t.Fatalf("%+v", attached)
		}
		again := must[*cosign.Signed](t)(client.AttachSignature(background, at, made.Signature, options))
		if again.Added {
			t.Fatalf("%+v", again)
		}
		v := must[*cosign.Verification](t)(client.Verify(background, at, policy))
		if len(v.Signatures) != 1 || !bytes.Equal(v.Signatures[0].Payload, payload) {
			t.Fatalf("%+v", v)
		}
		_, err = client.AttachSignature(background, at, nil, nil)
		wantCode(t, err, cosign.ErrArgument)
		_, err = client.Sign(background, at, key, &cosign.SignOptions{Payload: []byte{}})
		wantCode(t, err, cosign.ErrArgument)
		_, err = client.SignDetached(background, at, nil, nil)
		wantCode(t, err, cosign.ErrArgument)
	}
}

func TestWhatIsStoredIsDownloadedListedAndExplained(t *testing.T) {
	client := newClient(t, nil)
	key, _ := newKey(t)
	for _, at := range places(t) {
		_, err := client.Download(background, at, nil)
		wantCode(t, err, cosign.ErrNoSignatures)
		seed := &cosign.SignOptions{TagSuffix: ".cosign", PayloadForm: "2021"}
		must[*cosign.Signed](t)(client.Sign(background, at, key, seed))
		must[*cosign.Signed](t)(client.Sign(background, at, key, &cosign.SignOptions{Format: cosign.FormatBoth}))
		lines := must[[]string](t)(client.Download(background, at, nil))
		if len(lines) != 2 || !strings.HasPrefix(lines[0], `{"mediaType"`) || !strings.HasPrefix(lines[1], `{"Base64Signature"`) {
			t.Fatal(lines)
		}
		old := &cosign.DownloadOptions{TagSuffix: ".cosign", Lines2021: true}
		lines = must[[]string](t)(client.Download(background, at, old))
		var line struct{ Payload []byte }
		if err := json.Unmarshal([]byte(lines[0]), &line); err != nil || !bytes.HasPrefix(line.Payload, []byte(`{"Critical"`)) {
			t.Fatal(lines, err)
		}
		_, err = client.Download(background, at, &cosign.DownloadOptions{Format: "pgp"})
		wantCode(t, err, cosign.ErrArgument)

		place := must[string](t)(client.Triangulate(background, at, ".cosign"))
		if !strings.HasSuffix(place, ".cosign") {
			t.Fatal(place)
		}
		var tree struct {
			Complete    bool
			Attachments []struct{ Kind, Place string }
		}
		if err := json.Unmarshal(must[[]byte](t)(client.Tree(background, at)), &tree); err != nil {
			t.Fatal(err)
		}
		kinds := map[string]string{}
		for _, attachment := range tree.Attachments {
			kinds[attachment.Kind] = attachment.Place
		}
		if !tree.Complete || kinds["signatures-2021"] != place || kinds["signatures"] == "" || kinds["referrer"] == "" {
			t.Fatalf("%+v", tree)
		}
		var found struct{ Signatures []struct{ Format string } }
		if err := json.Unmarshal(must[[]byte](t)(client.Doctor(background, at)), &found); err != nil {
			t.Fatal(err)
		}
		formats := map[string]bool{}
		for _, signature := range found.Signatures {
			formats[signature.Format] = true
		}
		if !formats["cosign legacy"] || !formats["cosign of 2021"] || !formats["sigstore bundle"] {
			t.Fatalf("%+v", found)
		}
		_, err = client.Tree(background, at+"x")
		wantCode(t, err, cosign.ErrImageNotFound)
	}
}
