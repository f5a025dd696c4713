"""The verbs of 2021 on the command line and in Python, with tree, doctor and verify --explain."""

from __future__ import annotations

import base64
import http.server
import io
import json
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cosign
import pytest
from conftest import DIGEST, Command
from cosign import _cli

if TYPE_CHECKING:
    from conftest import Registry

KEYS = {
    "p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "p521": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "rsa2048": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa4096": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
    "ed25519": ["-algorithm", "ED25519"],
}
# openssl signs with Ed25519 only what it can measure first: a file.
PIPED = [name for name in KEYS if name != "ed25519"]


@pytest.fixture
def keys(tmp_path: Path, key_files: Path) -> Path:
    """`cosign.key` and `cosign.pub` in the folder where the command runs."""
    shutil.copy(f"{key_files}.key", tmp_path / "cosign.key")
    shutil.copy(f"{key_files}.pub", tmp_path / "cosign.pub")
    return tmp_path


def openssl_key(folder: Path, name: str) -> None:
    for arguments in (
        ["genpkey", *KEYS[name], "-out", "openssl.pem"],
        ["pkey", "-in", "openssl.pem", "-pubout", "-out", "openssl.pub"],
    ):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def shell(folder: Path, script: str) -> str:
    script = f'set -euo pipefail\ncosign() {{ "{sys.executable}" -m cosign "$@"; }}\n{script}'
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture(params=["registry", "layout"])
def place(request: pytest.FixtureRequest, image: str) -> str:
    """An image in a registry, then in a layout."""
    if request.param == "layout":
        return image
    registry: Registry = request.getfixturevalue("registry")
    return registry.image()


@pytest.mark.parametrize("name", PIPED)
def test_generate_openssl_upload_verify_piped(tmp_path: Path, place: str, name: str) -> None:
    openssl_key(tmp_path, name)
    sign = "openssl dgst -sha256 -sign openssl.pem"
    # Wrapped base64, base64 in one line, and what openssl prints.
    for middle in ("| base64", "| base64 -w 0", ""):
        shell(tmp_path, f"cosign generate {place} | {sign} {middle} | cosign upload -signature - {place}")
    out = shell(tmp_path, f"cosign verify -key openssl.pub -o text {place}")
    assert out.splitlines()[0] == shell(tmp_path, f"cosign generate {place}")
    for downloaded in cosign.Client().download(place):
        assert "\\n" not in downloaded.to_json()


@pytest.mark.parametrize("name", KEYS)
def test_generate_openssl_upload_verify_by_files(tmp_path: Path, place: str, name: str) -> None:
    openssl_key(tmp_path, name)
    sign = "pkeyutl -sign -rawin -inkey openssl.pem -in" if name == "ed25519" else "dgst -sha256 -sign openssl.pem"
    shell(
        tmp_path,
        f"cosign generate -a env=prod {place} > payload; openssl {sign} payload | base64 > signature; "
        f"cosign attach signature --signature signature --payload payload {place}",
    )
    out = shell(tmp_path, f"cosign verify -key openssl.pub -a env=prod -o text {place}")
    assert out == (tmp_path / "payload").read_text() + "\n"
    # The signature itself as the flag's value: it is there already.
    literal = "".join((tmp_path / "signature").read_text().split())
    again = subprocess.run(
        [sys.executable, "-m", "cosign", "upload", "-signature", literal, "-payload", "payload", place],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr.endswith("was attached before: nothing was written\n"), again.stderr


def test_generate_prints_no_newline_and_both_forms(command: Command, image: str) -> None:
    today = command("generate", "-a", "b=2", "-a", "a=<1>", image)
    assert today.stdout == (
        '{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":"' + DIGEST + '"},'
        '"type":"cosign container image signature"},"optional":{"a":"\\u003c1\\u003e","b":"2"}}'
    )
    seed = command("generate", "--payload-form", "2021", image)
    assert seed.stdout == (
        '{"Critical":{"Identity":{"docker-reference":""},"Image":{"Docker-manifest-digest":"' + DIGEST + '"},'
        '"Type":"cosign container signature"},"Optional":null}'
    )
    named = command("generate", "--sign-container-identity", "example.com/app", image)
    assert '"docker-reference":"example.com/app"' in named.stdout


def test_uploads_that_are_refused_change_nothing(command: Command, keys: Path, image: str) -> None:
    (keys / "empty").write_bytes(b"")
    (keys / "blank").write_bytes(b" \r\n")
    (keys / "text").write_text("this is no base64!")
    (keys / "large").write_bytes(b"A" * (65 << 10))
    (keys / "long").write_bytes(base64.b64encode(bytes(4097)))
    (keys / "payload").write_bytes(bytes((1 << 20) + 1))
    before = (keys / "image" / "index.json").read_bytes()
    for arguments, code, words in [
        ([], 2, "--signature is required"),
        (["-signature", ""], 2, "--signature is required"),
        (["-signature", "empty"], 1, "empty signature"),
        (["-signature", "blank"], 1, "empty signature"),
        (["-signature", "-"], 1, "empty signature"),
        (["-signature", "text"], 2, "text holds no signature in base64"),
        (["-signature", "no such file"], 2, "is neither a file nor base64"),
        (["-signature", "large"], 1, "no signature"),
        (["-signature", "long"], 20, "the signature has 4097 bytes, the limit is 4096"),
        (["-signature", "."], 1, "Is a directory"),
        (["-signature", "QUFB", "-payload", "none"], 1, "No such file"),
        (["-signature", "QUFB", "-payload", "empty"], 1, "empty: the payload is empty"),
        (["-signature", "QUFB", "-payload", "payload"], 1, "more than 1048576 bytes"),
        (["-signature", "QUFB", "-payload", "text", "-a", "a=1"], 2, "annotations cannot be added"),
        (["-signature", "QUFB", "--payload-form", "2022"], 2, "--payload-form=2022 is not supported"),
        (["-signature", "QUFB", "--certificate", "x"], 2, "unknown flag: --certificate"),
        (["-signature", "QUFB", "-tag-suffix", ".x"], 2, "the tag suffix"),
    ]:
        done = command("upload", *arguments, image)
        assert (done.returncode, done.stdout) == (code, ""), (arguments, done.stderr)
        assert words in done.stderr.splitlines()[-1], (arguments, done.stderr)
        assert (keys / "image" / "index.json").read_bytes() == before
    for word in ("blob", "wasm"):
        done = command("upload", word, "-f", "x", image)
        assert (done.returncode, f"upload {word} is not supported" in done.stderr) == (2, True)
    assert command("attach", "sbom", image).returncode == 2
    missing = command("upload", "-signature", "QUFB", image.replace(":v1", ":v2"))
    assert missing.returncode == 11
    assert command("upload", "-signature", "QUFB", image, image).returncode == 2


def test_sign_upload_false_prints_and_touches_no_server(command: Command, keys: Path) -> None:
    nobody = f"127.0.0.1:9/team/app@{DIGEST}"
    done = command("sign", "-key", "cosign.key", "-upload=false", "-a", "a=1", nobody, nobody)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 2)
    public = cosign.PublicKey.load(keys / "cosign.pub")
    payload = cosign.Client().generate(nobody, annotations={"a": "1"})
    for line in done.stdout.splitlines():
        public.verify(payload, base64.b64decode(line, validate=True))
    (keys / "own").write_bytes(b"\x00own\xff")
    files = ["--output-signature", "s", "--output-payload", "p"]
    done = command("sign", "-key", "cosign.key", "-upload=false", "-payload", "own", *files, "127.0.0.1:9/team/app:v1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (keys / "p").read_bytes() == b"\x00own\xff"
    public.verify(b"\x00own\xff", base64.b64decode((keys / "s").read_bytes(), validate=True))
    assert (keys / "s").stat().st_mode & 0o777 == 0o600
    for arguments, words in [
        (["--upload=false", "--format", "bundle"], "not --format=bundle"),
        (["--upload=false", "--tag-suffix", ".cosign"], "stores nothing"),
        (["--output-payload", "x"], "go with --upload=false"),
        (["--payload", "own", "-a", "a=1"], "contradict each other"),
    ]:
        refused = command("sign", "-key", "cosign.key", *arguments, nobody)
        assert (refused.returncode, refused.stdout, words in refused.stderr) == (2, "", True), refused.stderr


def test_sign_payload_of_any_format(command: Command, keys: Path, place: str) -> None:
    own = bytes(range(256)) + b"\r\n"
    (keys / "own").write_bytes(own)
    assert command("sign", "-key", "cosign.key", "-payload", "own", place).returncode == 0
    public = cosign.PublicKey.load(keys / "cosign.pub")
    verifier = cosign.Verifier(cosign.Policy(keys=[public]))
    assert verifier.verify(place, insecure_ignore_claims=True).signatures[0].payload == own
    with pytest.raises(cosign.NoMatchingSignatures):
        verifier.verify(place)
    refused = command("verify", "-key", "cosign.pub", place)
    assert refused.returncode == 12
    as_json = command("verify", "-key", "cosign.pub", "-check-claims=false", place)
    assert (as_json.returncode, "print it as it is with -o text" in as_json.stderr) == (1, True)


def test_downloads(command: Command, keys: Path, place: str, key: cosign.PrivateKey) -> None:
    none = command("download", place)
    assert (none.returncode, none.stdout) == (10, "")
    assert none.stderr.startswith("Error: no signatures found: ")
    assert none.stderr.endswith(": no signatures associated\n")
    signed = cosign.Signer(key).sign_image(place, format="both", annotations={"a": "1"})
    old = command("download", place)
    (line,) = old.stdout.splitlines()
    document = json.loads(line)
    assert list(document) == ["Base64Signature", "Payload"]
    payload = base64.b64decode(document["Payload"], validate=True)
    key.public_key.verify(payload, base64.b64decode(document["Base64Signature"], validate=True))
    today = command("download", "signature", place).stdout.splitlines()
    assert [json.loads(line).get("mediaType") for line in today] == [
        "application/vnd.dev.sigstore.bundle.v0.3+json",
        None,
    ]
    assert today[1] == line[:-1] + ',"Cert":null,"Chain":null,"Bundle":null,"RFC3161Timestamp":null}'
    assert command("download", "signature", "--format", "legacy", place).stdout.splitlines() == today[1:]
    bundle, legacy = cosign.Client().download(place)
    assert (bundle.format, bundle.payload, bundle.to_json_2021()) == ("bundle", None, None)
    assert (legacy.format, legacy.payload, legacy.to_json_2021()) == ("legacy", payload, line)
    assert legacy.place == signed.signature_reference
    assert pickle.loads(pickle.dumps([bundle, legacy])) == [bundle, legacy]
    # What was downloaded can be attached elsewhere.
    (keys / "s").write_text(document["Base64Signature"])
    (keys / "p").write_bytes(payload)
    assert command("upload", "-signature", "s", "-payload", "p", "-tag-suffix", ".cosign", place).returncode == 0
    assert command("download", "-tag-suffix", ".cosign", place).stdout == old.stdout
    for arguments in (["download"], ["download", "sbom", place], ["download", place, place]):
        assert command(*arguments).returncode == 2


def test_tree(command: Command, keys: Path, place: str, key: cosign.PrivateKey) -> None:
    none = command("tree", place)
    assert none.returncode == 0
    assert none.stdout == (
        f"No Supply Chain Security Related Artifacts found for image {place},\n "
        f"start creating one with simply running$ cosign sign {place}"
    )
    signer = cosign.Signer(key)
    signer.sign_image(place, format="both", journal=False)
    signer.sign_image(place, tag_suffix=".cosign", payload_form="2021", journal=False)
    found = cosign.Client().tree(place)
    assert (found["schema"], found["complete"], found["unread"]) == ("libcosign.tree.v1", True, [])
    assert [one["kind"] for one in found["attachments"]] == ["signatures", "signatures-2021", "referrer"]
    signatures, old, bundle = found["attachments"]
    assert signatures["items"][0]["evidence"] == ["signature"]
    assert bundle["predicate_type"] == "https://sigstore.dev/cosign/sign/v1"
    shown = command("tree", place)
    assert shown.stdout.splitlines() == [
        f"📦 Supply Chain Security Related artifacts for an image: {place}",
        f"└── 🔐 Signatures for an image tag: {signatures['place']}",
        f"   └── 🍒 {signatures['items'][0]['digest']}",
        f"└── 🔐 Signatures of 2021 for an image tag: {old['place']}",
        f"   └── 🍒 {old['items'][0]['digest']}",
        f"└── 🔗 https://sigstore.dev/cosign/sign/v1 artifacts via OCI referrer: {bundle['place']}",
        f"   └── 🍒 {bundle['items'][0]['digest']}",
    ]
    assert json.loads(command("tree", "-o", "json", place).stdout) == found
    missing = command("tree", place.replace(":v1", ":v2"))
    assert (missing.returncode, missing.stdout) == (11, "")
    if not place.startswith("oci:"):
        gone = place.partition(":v1")[0] + "@sha256:" + "0" * 64
        assert command("tree", gone).returncode == 11


def test_what_a_tree_could_not_read_is_unknown(command: Command, registry: Registry, key: cosign.PrivateKey) -> None:
    image = registry.image()
    cosign.Signer(key).sign_image(image)
    registry.tell(fault={"when": "GET *.sig$", "do": {"oci_error": [500, "UNKNOWN"]}})
    for verb, shown in (("tree", ""), ("doctor", "no signature was found in what could be read")):
        done = command(verb, image)
        assert done.returncode == 20, done.stderr
        assert ".sig could not be read, so what is there is unknown" in done.stderr
        assert "No Supply Chain" not in done.stdout
        assert shown in done.stdout
        found = json.loads(command(verb, "-o", "json", image).stdout)
        assert (found["complete"], len(found["unread"])) == (False, 1)


def test_doctor(command: Command, place: str, key: cosign.PrivateKey) -> None:
    nothing = command("doctor", place)
    assert (nothing.returncode, "no signature was found\n" in nothing.stdout) == (0, True)
    signer = cosign.Signer(key)
    signer.sign_image(place, identity="example.com/app")
    found = cosign.Client().doctor(place)
    assert (found["schema"], found["complete"]) == ("libcosign.doctor.v1", True)
    (legacy,) = found["signatures"]
    assert (legacy["format"], legacy["by"]) == ("cosign legacy", "key")
    assert [reader["reads"] for reader in legacy["readers"]] == [True] * 5
    signer.sign_image(place, format="bundle")
    signer.sign_image(place, tag_suffix=".cosign", payload_form="2021")
    found = cosign.Client().doctor(place)
    readers = {
        one["format"]: {reader["tool"]: reader["reads"] for reader in one["readers"]} for one in found["signatures"]
    }
    assert readers == {
        "cosign legacy": dict(zip(TOOLS, [True, True, False, True, True], strict=True)),
        "cosign of 2021": dict(zip(TOOLS, [False, False, False, False, True], strict=True)),
        "sigstore bundle": dict(zip(TOOLS, [False, False, True, False, True], strict=True)),
    }
    shown = command("doctor", place).stdout
    assert "cosign 3        no: it looks at bundles only, as soon as one refers to the image" in shown
    assert "  -> sign the image again; or attach this signature to the tag of today" in shown
    if not place.startswith("oci:"):
        assert "Docker content trust" in command("doctor", place).stderr


TOOLS = ["cosign 1", "cosign 2", "cosign 3", "skopeo, podman", "libcosign"]


def test_explain(command: Command, keys: Path, signed: str, key: cosign.PrivateKey) -> None:
    other = cosign.PrivateKey.generate()
    cosign.Signer(other).sign_image(signed)
    done = command("verify", "-key", "cosign.pub", "--explain", signed)
    assert done.returncode == 0
    assert ": verified\n  1 of 1 needed signers\n" in done.stdout

    assert done.stdout.count("counts\n") == 1
    assert done.stdout.count("does not count\n") == 1
    assert "failed  key: the signature was not made by an accepted key" in done.stdout
    as_json = command("verify", "-key", "cosign.pub", "--explain", "-o", "json", signed)
    assert json.loads(as_json.stdout)["verdict"] == "verified"
    (keys / "third.pub").write_text(cosign.PrivateKey.generate().public_key.pem)
    refused = command("verify", "-key", "third.pub", "--explain", signed)
    assert refused.returncode == 12
    assert ": not verified\n  0 of 1 needed signers\n" in refused.stdout
    assert refused.stdout.count("does not count\n") == 2
    as_json = command("verify", "-key", "third.pub", "--explain", "-o=json", signed)
    assert (as_json.returncode, json.loads(as_json.stdout)["verdict"]) == (12, "refused")


@pytest.fixture
def server(key: cosign.PrivateKey) -> Iterator[str]:
    """A web server on this machine: /key, /redirect, /large, /missing."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            pem = key.public_key.pem.encode()
            body = {"/key": pem, "/large": pem + b"#" * (65 << 10)}.get(self.path)
            if self.path == "/redirect":
                self.send_response(302)
                self.send_header("Location", "http://registry.example/key")
                self.end_headers()
                return
            self.send_response(200 if body is not None else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    http_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http_server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{http_server.server_port}"
    http_server.shutdown()
    thread.join()
    http_server.server_close()


def test_a_key_over_the_network_only_when_the_reference_says_so(command: Command, signed: str, server: str) -> None:
    # Proxies of the environment are not asked for what is on this machine.
    done = command("verify", "-key", f"{server}/key", signed, HTTP_PROXY="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    for reference, code, words in [
        (f"{server}/missing", 1, "could not be fetched: Not Found"),
        (f"{server}/large?token=secret", 1, "could not be fetched: 404"),
        (f"{server}/large", 1, "more than 65536 bytes are no public key"),
        (f"{server}/redirect", 2, "over plain http; use https"),
        ("http://registry.example/key", 2, "over plain http; use https"),
        ("https://user:secret@registry.example/key", 2, "without user name and password"),
        ("https:///key", 2, "expected https://HOST/PATH"),
        ("http://127.0.0.1:9/key", 1, "could not be fetched"),
    ]:
        done = command("verify", "-key", reference, signed)
        assert done.returncode == code, (reference, done.stderr)
        assert "secret" not in done.stderr
        if "token" not in reference:
            assert words in done.stderr, (reference, done.stderr)
    private = command("sign", "-key", f"{server}/key", signed)
    assert (private.returncode, "this kind of key is not supported" in private.stderr) == (2, True)


def test_the_python_methods(image: str, key: cosign.PrivateKey) -> None:
    client = cosign.Client()
    payload = client.generate(image, annotations={"a": "1"})
    made = cosign.Signer(key).sign_detached(image, annotations={"a": "1"})
    assert made.payload == payload
    assert base64.b64decode(made.base64) == made.signature
    assert pickle.loads(pickle.dumps(made)) == made
    assert hash(made) == hash(pickle.loads(pickle.dumps(made)))
    with pytest.raises(cosign.ArgumentError, match="empty signature"):
        client.attach_signature(image, b"")
    with pytest.raises(cosign.ArgumentError, match="the payload is empty"):
        client.attach_signature(image, b"s", payload=b"")
    with pytest.raises(cosign.ArgumentError, match="is not today or 2021"):
        client.generate(image, payload_form="1970")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="signature must be bytes, not str"):
        client.attach_signature(image, "text")  # type: ignore[arg-type]
    attached = client.attach_signature(image, made.signature, payload=payload)
    assert (attached.added, attached.status, attached.digest) == (True, "stored", DIGEST)
    verified = cosign.Verifier(cosign.Policy(keys=[key.public_key], annotations={"a": "1"})).verify(image)
    assert verified.signatures[0].payload == payload
    again = client.attach_signature(image, bytearray(made.signature), annotations={"a": "1"})
    assert not again.added


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_requests_are_shown_without_credentials(command: Command, registry: Registry) -> None:
    image = registry.image()
    for arguments in (["-d", "triangulate", image], ["-v", "triangulate", image], ["triangulate", "-d", image]):
        done = command(*arguments, "--registry-username", "me", "--registry-password", "hidden")
        assert done.returncode == 0
        assert f"GET http://{registry.host}/v2/team/app/manifests/v1 200\n" in done.stderr
        assert "hidden" not in done.stderr
    quiet = command("triangulate", image)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    seen: list[str] = []
    client = cosign.Client(on_request=seen.append)
    client.resolve(image)
    assert seen == [f"GET http://{registry.host}/v2/team/app/manifests/v1 200"]
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(client)
    # A watcher that fails stops nothing.
    cosign.Client(on_request=lambda line: 1 / 0).resolve(image)


def test_no_key_is_made_before_the_questions_are_answered(
    keys: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []

    class Recorded:
        @staticmethod
        def generate(algorithm: str) -> cosign.PrivateKey:
            made.append(algorithm)
            raise AssertionError("a key was made")

    monkeypatch.chdir(keys)
    monkeypatch.setattr(cosign, "PrivateKey", Recorded)
    before = {path.name: path.read_bytes() for path in keys.iterdir() if path.is_file()}
    for password, answer, code in [("x", "n\n", 1), ("x", "", 1), (None, "y\n", 1)]:
        if password is None:
            monkeypatch.delenv("COSIGN_PASSWORD", raising=False)
        else:
            monkeypatch.setenv("COSIGN_PASSWORD", password)
        stdin = io.TextIOWrapper(io.BytesIO(answer.encode()))
        monkeypatch.setattr("sys.stdin", stdin)
        assert _cli.main(["generate-key-pair"]) == code
        assert "WARNING: File cosign.key already exists. Overwrite?" in capsys.readouterr().err
        if password is None:
            # What is piped is the password: nothing of it was read.
            assert stdin.buffer.tell() == 0
    assert _cli.main(["generate-key-pair", "--algorithm", "dsa"]) == 2
    assert made == []
    assert {path.name: path.read_bytes() for path in keys.iterdir() if path.is_file()} == before
