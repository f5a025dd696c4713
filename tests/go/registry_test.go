package tests

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"example.com/libcosign/cosign"
)

// registry is the program cosign-test-registry: a registry on a loopback port that does what it is told.
type registry struct {
	t       *testing.T
	host    string
	in      io.Writer
	answers *bufio.Scanner
}

func startRegistry(t *testing.T) *registry {
	t.Helper()
	program := os.Getenv("COSIGN_TEST_REGISTRY")
	if program == "" {
		t.Fatal("COSIGN_TEST_REGISTRY is to be the program cosign-test-registry")
	}
	process := exec.Command(program)
	process.Stderr = os.Stderr
	in := must[io.WriteCloser](t)(process.StdinPipe())
	out := must[io.ReadCloser](t)(process.StdoutPipe())
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := process.Wait(); err != nil {
			t.Error(err)
		}
	})
	r := &registry{t: t, in: in, answers: bufio.NewScanner(out)}
	host, found := strings.CutPrefix(r.line(), "listening ")
	if !found {
		t.Fatal(host)
	}
	r.host = host
	return r
}

func (r *registry) line() string {
	r.t.Helper()
	if !r.answers.Scan() {
		r.t.Fatal("the registry ended: ", r.answers.Err())
	}
	return r.answers.Text()
}

// tell sends one command, see tests/src/registry/control.rs.
func (r *registry) tell(command string) any {
	r.t.Helper()
	fmt.Fprintln(r.in, command)
	var answer struct {
		OK    any     `json:"ok"`
		Error *string `json:"error"`
	}
	if err := json.Unmarshal([]byte(r.line()), &answer); err != nil || answer.Error != nil {
		r.t.Fatal(command, err, *answer.Error)
	}
	return answer.OK
}

// image is a fresh image in a repository of its own.
func (r *registry) image(repository string) string {
	r.t.Helper()
	r.tell(fmt.Sprintf(`{"add_image": {"repository": %q, "tag": "v1"}}`, repository))
	return r.host + "/" + repository + ":v1"
}

func TestBothFormatsInARegistry(t *testing.T) {
	for _, referrers := range []string{"on", "off"} {
		r := startRegistry(t)
		r.tell(fmt.Sprintf(`{"set": {"referrers": %q}}`, referrers))
		at, client := r.image("team/app"), newClient(t, nil)
		_, stranger := newKey(t)
		_, err := client.Verify(background, at, &cosign.Policy{Keys: []*cosign.PublicKey{stranger}})
		wantCode(t, err, cosign.ErrNoSignatures)
		for _, format := range []string{cosign.FormatLegacy, cosign.FormatBundle, cosign.FormatBoth} {
			key, public := newKey(t)
			policy := &cosign.Policy{Keys: []*cosign.PublicKey{public}}
			formats := []string{format}
			if format == cosign.FormatBoth {
				formats = []string{cosign.FormatLegacy, cosign.FormatBundle}
			}
			signed := must[*cosign.Signed](t)(client.Sign(background, at, key, &cosign.SignOptions{Format: format}))
			v := must[*cosign.Verification](t)(client.Verify(background, at, policy))
			if signed.Status != cosign.Stored || len(signed.Signatures) != len(formats) || len(v.Signatures) != len(formats) {
				t.Fatalf("%+v %+v", signed, v)
			}
			if v.Digest != signed.Digest || v.Reference != signed.Reference || !strings.Contains(signed.JSON, "stored") {
				t.Fatalf("%+v %+v", signed, v)
			}
			for i, name := range formats {
				stored := signed.Signatures[i]
				if stored.Format != name || stored.Status != cosign.Stored || !stored.Added || !strings.HasPrefix(stored.Place, r.host) {
					t.Fatalf("%+v", stored)
				}
				if v.Signatures[i].Format != name {
					t.Fatalf("%+v", v.Signatures[i])
				}
				only := &cosign.VerifyOptions{Format: name, NoJournal: true}
				must[*cosign.Verification](t)(client.VerifyWith(background, at, policy, only))
			}
			if len(formats) == 1 {
				other := map[string]string{"legacy": "bundle", "bundle": "legacy"}[format]
				_, err := client.VerifyWith(background, at, policy, &cosign.VerifyOptions{Format: other})
				var e *cosign.Error
				if err == nil {
					t.Fatal("a signature of another format counted")
				}
				if e, _ = err.(*cosign.Error); e == nil || e.Code/100 != 3 {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestHowASignatureIsStored(t *testing.T) {
	r := startRegistry(t)
	client := newClient(t, nil)
	key, public := newKey(t)
	policy := &cosign.Policy{Keys: []*cosign.PublicKey{public}}
	plain := r.image("team/plain")
	signed := must[*cosign.Signed](t)(client.Sign(background, plain, key, &cosign.SignOptions{NoJournal: true}))
	if signed.Status != cosign.StoredUnprotected || signed.Reason == "" || signed.Signatures[0].Reason != signed.Reason {
		t.Fatalf("%+v", signed)
	}
	// As on GitLab: the fallback tag answers the image itself, so no bundle can be put there.
	r.tell(`{"set": {"digest_alias": true}}`)
	alias := r.image("team/alias")
	signed = must[*cosign.Signed](t)(client.Sign(background, alias, key, &cosign.SignOptions{Format: "both"}))
	if signed.Status != cosign.JournalOnly || signed.Signatures[0].Status != cosign.Stored || signed.Signatures[1].Status != cosign.JournalOnly {
		t.Fatalf("%+v", signed)
	}
	must[*cosign.Verification](t)(client.VerifyWith(background, alias, policy, &cosign.VerifyOptions{Format: "bundle"}))
	_, err := client.VerifyWith(background, alias, policy, &cosign.VerifyOptions{Format: "bundle", NoJournal: true})
	wantCode(t, err, cosign.ErrNoSignatures)
}

func TestUnknownIsNotUnsigned(t *testing.T) {
	r := startRegistry(t)
	at, client := r.image("team/app"), newClient(t, nil)
	_, public := newKey(t)
	policy := &cosign.Policy{Keys: []*cosign.PublicKey{public}}
	_, err := client.Verify(background, at, policy)
	wantCode(t, err, cosign.ErrNoSignatures)
	r.tell(`{"fault": {"when": "GET *sha256-*", "do": {"rate_limit": {"seconds": 0}}}}`)
	_, err = client.Verify(background, at, policy)
	wantCode(t, err, cosign.ErrRateLimited)
	r.tell(`{"heal": {}}`)
	_, err = client.Verify(background, at, policy)
	wantCode(t, err, cosign.ErrNoSignatures)
}

func TestOptionsReachWhatIsWritten(t *testing.T) {
	at, client := image(t), newClient(t, nil)
	key, public := newKey(t)
	policy := &cosign.Policy{Keys: []*cosign.PublicKey{public}}
	options := &cosign.SignOptions{
		Identity: "registry.example/app", TagSuffix: ".cosign", DockerMediaTypes: true, LayoutTag: "v1",
	}
	signed := must[*cosign.Signed](t)(client.Sign(background, at, key, options))
	if !strings.HasSuffix(signed.Signatures[0].Place, ".cosign") || signed.LayoutNeedsName {
		t.Fatalf("%+v", signed)
	}
	_, err := client.Verify(background, at, policy)
	wantCode(t, err, cosign.ErrNoSignatures)
	where := &cosign.VerifyOptions{TagSuffix: ".cosign"}
	v := must[*cosign.Verification](t)(client.VerifyWith(background, at, policy, where))
	if !strings.Contains(string(v.Signatures[0].Payload), "registry.example/app") {
		t.Fatalf("%s", v.Signatures[0].Payload)
	}
	where.DangerousAnyPayloadType, where.DangerousAnyPredicateType, where.DangerousIgnoreClaims = true, true, true
	v = must[*cosign.Verification](t)(client.VerifyWith(background, at, policy, where))
	for _, told := range []string{"claims not checked", "any payload type", "any predicate type"} {
		if !strings.Contains(v.JSON, told) {
			t.Fatal(v.JSON)
		}
	}
	for _, wrong := range []*cosign.SignOptions{{Format: "tag"}, {TagSuffix: ".s"}} {
		_, err := client.Sign(background, at, key, wrong)
		wantCode(t, err, cosign.ErrArgument)
	}
	for _, wrong := range []*cosign.VerifyOptions{{Format: "tag"}, {TagSuffix: ".s"}} {
		_, err := client.VerifyWith(background, at, policy, wrong)
		wantCode(t, err, cosign.ErrArgument)
	}
}

func TestClientOptions(t *testing.T) {
	for _, wrong := range []*cosign.ClientOptions{
		{OnlyCAPEM: true},
		{CAPEM: []byte("none"), OnlyCAPEM: true},
		{ClientCertificatePEM: []byte("none"), ClientKeyPEM: []byte("none")},
		{HTTPSProxy: "socks5://proxy.example"},
		{CertsDirs: []string{"a\x00b"}},
	} {
		if client, err := cosign.NewClient(wrong); err == nil || client != nil {
			t.Fatalf("%+v", wrong)
		}
	}
	newClient(t, &cosign.ClientOptions{
		CertsDirs: []string{"/no/such/folder"}, CredentialHelpers: true, HTTPProxy: "http://proxy.example:3128",
		NoProxy: "localhost", TokenServers: map[string][]string{"registry.example": {"auth.other.example"}},
	})
	t.Setenv("SSL_CERT_FILE", "/no/such/file")
	newClient(t, nil)
	_, err := cosign.NewClient(&cosign.ClientOptions{FromEnv: true})
	wantCode(t, err, cosign.ErrIo)
}
