package tests

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"example.com/libcosign/cosign"
)

// startStack starts the program cosign-test-stack, a whole Sigstore on loopback, and returns its values.
func startStack(t *testing.T) map[string]string {
	t.Helper()
	program := os.Getenv("COSIGN_TEST_STACK")
	if program == "" {
		t.Fatal("COSIGN_TEST_STACK is to be the program cosign-test-stack")
	}
	process := exec.Command(program)
	process.Stderr = os.Stderr
	in, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := process.Wait(); err != nil {
			t.Error(err)
		}
	})
	values := map[string]string{}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "" {
		name, value, _ := strings.Cut(lines.Text(), "=")
		values[name] = value
	}
	return values
}

func TestTheTransparencyLog(t *testing.T) {
	stack, r := startStack(t), startRegistry(t)
	image := r.image("logged")
	key, public := newKey(t)
	client := newClient(t, &cosign.ClientOptions{RekorURL: stack["STACK_REKOR1"]})
	nowhere := newClient(t, &cosign.ClientOptions{RekorURL: "http://127.0.0.1:9"})
	logKey := must[*cosign.PublicKey](t)(cosign.ParsePublicKey(must[[]byte](t)(os.ReadFile(stack["STACK_REKOR1_PUB"]))))
	policy := &cosign.Policy{Keys: []*cosign.PublicKey{public}, Tlog: true, LogKeys: []*cosign.PublicKey{logKey}}

	// Not in the log; a silent log is no verdict; nobody is trusted.
	must[*cosign.Signed](t)(client.Sign(background, image, key, nil))
	_, err := client.Verify(background, image, policy)
	wantCode(t, err, cosign.ErrNoSignatureMatches)
	_, err = nowhere.Verify(background, image, policy)
	wantCode(t, err, cosign.ErrNetwork)
	_, err = client.Verify(background, image, &cosign.Policy{Keys: policy.Keys, Tlog: true})
	wantCode(t, err, cosign.ErrPolicyEmpty)
	_, err = client.Verify(background, image, &cosign.Policy{Keys: policy.Keys, TrustedRoot: []byte("{}")})
	wantCode(t, err, cosign.ErrPolicyEmpty)
	_, err = client.Sign(background, image, key, &cosign.SignOptions{Tlog: "perhaps"})
	wantCode(t, err, cosign.ErrArgument)

	signed := must[*cosign.Signed](t)(client.Sign(background, image, key, &cosign.SignOptions{Tlog: cosign.TlogPublic}))
	var result struct {
		Tlog       string
		Signatures []struct{ Log struct{ URL string } }
	}
	if err := json.Unmarshal([]byte(signed.JSON), &result); err != nil {
		t.Fatal(err)
	}
	if result.Tlog != "uploaded" || result.Signatures[0].Log.URL != stack["STACK_REKOR1"] {
		t.Fatal(signed.JSON)
	}
	for _, options := range []*cosign.VerifyOptions{nil, {Offline: true}} {
		v := must[*cosign.Verification](t)(nowhere.VerifyWith(background, image, policy, options))
		if len(v.Signatures) != 1 || !strings.Contains(v.JSON, `"log":{"index":`) {
			t.Fatal(v.JSON)
		}
	}
	root := must[[]byte](t)(os.ReadFile(stack["STACK_TRUSTED_ROOT"]))
	trusting := &cosign.Policy{Keys: policy.Keys, Tlog: true, TrustedRoot: root}
	must[*cosign.Verification](t)(nowhere.VerifyWith(background, image, trusting, &cosign.VerifyOptions{Offline: true}))
}
