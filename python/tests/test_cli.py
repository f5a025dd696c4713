"""The command, as transcripts: what is typed, what is printed where, and the exit code."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pty
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import cosign
import pytest
from conftest import DIGEST, PASSWORD, Command
from cosign._cli import UsageError
from cosign._cli._flags import annotation_pairs, csv_fields, duration

CHECKS = """
Verification for {image} --
The following checks were performed on each of these signatures:
  - The cosign claims were validated
  - The signatures were verified against the specified public key
"""


@pytest.fixture
def keys(tmp_path: Path, key_files: Path) -> Path:
    """`cosign.key` and `cosign.pub` in the folder where the command runs."""
    shutil.copy(f"{key_files}.key", tmp_path / "cosign.key")
    shutil.copy(f"{key_files}.pub", tmp_path / "cosign.pub")
    return tmp_path


def test_generate_key_pair(command: Command, tmp_path: Path) -> None:
    done = command("generate-key-pair")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "Private key written to cosign.key\nPublic key written to cosign.pub\n"
    assert stat.S_IMODE((tmp_path / "cosign.key").stat().st_mode) == 0o600
    assert (tmp_path / "cosign.key").read_text().startswith("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
    assert command("public-key", "--key", "cosign.key").stdout == (tmp_path / "cosign.pub").read_text()


def test_key_format_of_2021(command: Command, tmp_path: Path) -> None:
    assert command("generate-key-pair", "-key-format=cosign", "-output-key-prefix", "old").returncode == 0
    assert (tmp_path / "old.key").read_text().startswith("-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n")
    assert command("generate-key-pair", "--key-format", "pgp").returncode == 2


def test_a_piped_password_is_taken_verbatim(command: Command) -> None:
    assert command("generate-key-pair", "--key-format=cosign", stdin=b"pw\n", password=None).returncode == 0
    assert command("public-key", "--key", "cosign.key", stdin=b"pw\n", password=None).returncode == 0
    refused = command("public-key", "--key", "cosign.key", stdin=b"pw", password=None)
    assert refused.returncode == 3
    assert refused.stderr.startswith("Error: cosign.key: ")


def test_an_empty_cosign_password_counts_as_set(command: Command) -> None:
    assert command("generate-key-pair", "--key-format=cosign", password="").returncode == 0
    assert command("public-key", "--key", "cosign.key", stdin=b"ignored", password="").returncode == 0


def test_an_existing_key_is_never_overwritten_without_consent(command: Command, keys: Path) -> None:
    before = (keys / "cosign.key").read_bytes()
    prompt = "WARNING: File cosign.key already exists. Overwrite?\nAre you sure you would like to continue? [y/N] "
    for answer, message in (
        (b"", "Error: user declined the prompt\n"),
        (b"n\n", "Error: user declined the prompt\n"),
        (b"yy\n", 'Error: invalid input "yy" (allowed values y, n)\n'),
    ):
        done = command("generate-key-pair", stdin=answer)
        assert (done.returncode, done.stderr) == (1, prompt + message)
    piped = command("generate-key-pair", stdin=b"y\n", password=None)
    assert piped.returncode == 1
    assert "cosign.key already exists and standard input holds the password" in piped.stderr
    assert (keys / "cosign.key").read_bytes() == before
    assert sorted(os.listdir(keys)) == ["cosign.key", "cosign.pub"]
    assert command("generate-key-pair", stdin=b"y\ny\n").returncode == 0
    assert (keys / "cosign.key").read_bytes() != before


def test_a_terminal_is_asked_twice(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("COSIGN_")}

    def typed(*lines: bytes) -> tuple[int, str]:
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(tmp_path)
            os.execve(sys.executable, [sys.executable, "-m", "cosign", "generate-key-pair"], env)
        output = b""
        rest = list(lines)
        while True:
            try:
                chunk = os.read(terminal, 1024)
            except OSError:
                break
            if not chunk:
                break
            output += chunk
            if chunk.endswith(b": ") and rest:
                os.write(terminal, rest.pop(0) + b"\n")
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output.decode()

    code, output = typed(b"one", b"two")
    assert (code, "passwords do not match" in output) == (1, True), output
    assert os.listdir(tmp_path) == []
    code, output = typed(b"hidden", b"hidden")
    assert code == 0, output
    assert "Enter password for private key: " in output
    assert "Enter password for private key again: " in output
    assert "hidden" not in output


def test_import_key_pair(command: Command, tmp_path: Path) -> None:
    subprocess.run(["openssl", "genrsa", "-out", str(tmp_path / "rsa.pem"), "2048"], check=True, capture_output=True)
    done = command("import-key-pair", "-k", "rsa.pem", "--key-format=cosign")
    assert done.returncode == 0
    assert done.stderr.startswith("Private key written to import-cosign.key\n")
    again = command("import-key-pair", "--key", "rsa.pem", "-y", "--key-format=cosign")
    assert (again.returncode, again.stderr.count("WARNING")) == (0, 2)
    assert command("import-key-pair", "--key", "import-cosign.pub").returncode == 3
    assert command("import-key-pair").returncode == 2


def test_sign_and_verify(command: Command, keys: Path, image: str) -> None:
    signed = command("sign", "-key", "cosign.key", "-a", "a=1,b=2", "-y", "--tlog-upload=false", image)
    assert (signed.returncode, signed.stdout) == (0, ""), signed.stderr
    assert "Signing artifact...\nPushing signature to: oci:" in signed.stderr
    done = command("verify", "--key", "cosign.pub", image)
    assert (done.returncode, done.stderr) == (0, CHECKS.format(image=image))
    assert done.stdout == (
        '\n[{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":"'
        + DIGEST
        + '"},"type":"cosign container image signature"},"optional":{"a":"1","b":"2"}}]\n'
    )
    text = command("verify", "-key=cosign.pub", "-o", "text", "--insecure-ignore-tlog", image)
    assert text.stdout.count("\n") == 1
    assert json.loads(text.stdout) == json.loads(done.stdout)[0]
    assert text.stderr.startswith("WARNING: Skipping tlog verification is an insecure practice")
    annotated = command("verify", "--key", "cosign.pub", "-a", "a=1", "-ab=2", image)
    assert annotated.returncode == 0
    assert "  - The specified annotations were verified.\n" in annotated.stderr
    unclaimed = command("verify", "--key", "cosign.pub", "--check-claims=false", image)
    assert unclaimed.returncode == 0
    assert "claims were validated" not in unclaimed.stderr


def test_html_characters_are_printed_as_go_does(command: Command, keys: Path, image: str) -> None:
    assert command("sign", "--key", "cosign.key", "-a", "z=<x>&y", "-a", "u=\u00e9", image).returncode == 0
    done = command("verify", "--key", "cosign.pub", image)
    assert '"optional":{"u":"\u00e9","z":"\\u003cx\\u003e\\u0026y"}' in done.stdout


def test_verify_a_local_image_and_an_inline_key(command: Command, keys: Path, image: str) -> None:
    command("sign", "--key", "cosign.key", image)
    done = command("verify", "--key", "cosign.pub", "--local-image", "image")
    assert (done.returncode, done.stderr) == (0, CHECKS.format(image="image"))
    inline = "".join((keys / "cosign.pub").read_text().splitlines()[1:-1])
    assert command("verify", "--key", inline, image).returncode == 0
    assert command("verify", "--key", "env://PUB", image, PUB=(keys / "cosign.pub").read_text()).returncode == 0
    assert command("verify", "--key", "cosign.pub", "--local-image", "a:b").returncode == 2


def test_the_suffix_of_2021(command: Command, keys: Path, image: str) -> None:
    assert command("sign", "--key", "cosign.key", "--tag-suffix", ".cosign", image).returncode == 0
    assert command("verify", "--key", "cosign.pub", image).returncode == 10
    assert command("verify", "--key", "cosign.pub", "--tag-suffix", ".cosign", image).returncode == 0
    shown = command("triangulate", "--tag-suffix=.cosign", image).stdout
    assert shown.endswith(f":{DIGEST.replace(':', '-')}.cosign\n")


def test_verdicts_have_cosigns_exit_codes_and_words(command: Command, keys: Path, image: str) -> None:
    verify = ("verify", "--key", "cosign.pub")
    unsigned = command(*verify, image)
    assert (unsigned.returncode, unsigned.stdout) == (10, "")
    assert "no signatures found" in unsigned.stderr
    missing = command(*verify, image + "x")
    assert (missing.returncode, missing.stderr.startswith("Error: image tag not found: ")) == (11, True)
    command("generate-key-pair", "--output-key-prefix", "other", "--key-format=cosign")
    command("sign", "--key", "other.key", image)
    wrong = command(*verify, image)
    assert (wrong.returncode, wrong.stdout) == (12, "")
    assert "no matching signatures: " in wrong.stderr
    refused = command("verify", "--key", "other.pub", "-a", "a=1", image)
    assert (refused.returncode, "annotation" in refused.stderr) == (12, True)
    unreachable = command(*verify, "--timeout=5s", "127.0.0.1:1/a/b:c")
    assert unreachable.returncode == 20
    assert "no signatures" not in unreachable.stderr


def test_triangulate_and_version(command: Command, image: str) -> None:
    assert command("triangulate", image).stdout.endswith(f":{DIGEST.replace(':', '-')}.sig\n")
    assert command("triangulate", "--type", "attestation", image).stdout.endswith(".att\n")
    assert command("triangulate", "--type", "digest", image).stdout.endswith(f"@{DIGEST}\n")
    assert command("version").stdout.startswith("cosign (libcosign) ")
    assert "libcosign" in json.loads(command("version", "--json").stdout)
    assert command("--version").returncode == 0


USAGE = [
    (["frobnicate"], 'unknown command "frobnicate"'),
    (["verify", "--bogus", "x"], "unknown flag: --bogus"),
    (["verify", "-bogus=1", "x"], "unknown flag: -bogus"),
    (["sign", "--key"], "flag needs an argument: --key"),
    (["verify", "--check-claims=maybe", "--key", "cosign.pub", "x"], "must be true or false"),
    (["verify", "--key", "cosign.pub"], "no image was given"),
    (["verify", "x"], "--key is required"),
    (["verify", "--key", "awskms:///alias/x", "x"], "awskms"),
    (["sign", "--key", "cosign.key", "--format", "tag", "x"], "--format=tag is not supported"),
    (["sign", "--key", "cosign.key", "--format=both", "--new-bundle-format", "x"], "contradict"),
    (["sign", "--key", "cosign.key", "--registry-client-cert=c.pem", "x"], "go together"),
    (["sign", "--key", "cosign.key", "--force-tlog", "--tlog-upload=false", "x"], "contradict"),
    (["sign", "--key", "cosign.key", "--tlog-upload", "--rekor-url", "log.test", "oci:x"], "is no URL"),
    (["verify", "--key", "cosign.pub", "--insecure-ignore-tlog=false", "x"], "give the log's public key"),
    (["sign", "--key", "cosign.key", "--upload=maybe", "x"], "must be true or false"),
    (["sign", "--key", "cosign.key", "--use-signing-config", "x"], "--use-signing-config=true is not supported"),
    (["verify", "--key", "cosign.pub", "--format=bundle", "--new-bundle-format=false", "x"], "contradict"),
    (["verify", "--key", "cosign.pub", "--journal=always", "x"], "--journal=always is not supported"),
    (["verify", "--key", "cosign.pub", "-o", "yaml", "x"], "--output=yaml is not supported"),
    (["verify", "--key", "cosign.pub", "-a", "", "x"], "it is empty"),
    (["verify", "--key", "cosign.pub", "-a", "a=1\nb=2", "x"], "second line"),
    (["verify", "--key", "cosign.pub", "-a", "a=1", "-a", "a=2", "x"], "given twice"),
    (["verify", "--key", "cosign.pub", "-a", "a", "x"], "unable to parse annotation: a"),
    (["verify", "--key", "cosign.pub", "-a", 'a="b"', "x"], 'bare "'),
    (["verify", "--key", "cosign.pub", "-a", "a=1", "--check-claims=false", "x"], "contradict"),
    (["verify", "--key", "cosign.pub", "--timeout", "soon", "x"], "invalid argument"),
    (["verify", "--key", "cosign.pub", "UPPER"], "UPPER"),
    (["triangulate"], "expected one image"),
    (["generate-key-pair", "extra"], "unexpected argument: extra"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE, ids=[" ".join(row[0]) for row in USAGE])
def test_a_wrong_command_line_exits_2(command: Command, keys: Path, arguments: list[str], message: str) -> None:
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") <= 2


def test_a_signature_repository_that_is_none_is_refused_by_name(command: Command, keys: Path, image: str) -> None:
    for arguments in (("sign", "--key", "cosign.key"), ("verify", "--key", "cosign.pub"), ("triangulate",)):
        done = command(*arguments, image, COSIGN_REPOSITORY="ghcr.io/a/b:1")
        assert (done.returncode, "COSIGN_REPOSITORY" in done.stderr) == (2, True)


def test_docker_media_types_by_the_environment(command: Command, keys: Path, image: str) -> None:
    path = Path(image.removeprefix("oci:").removesuffix(":v1"))
    sign = ("sign", "--key", "cosign.key", image)
    wrong = command(*sign, COSIGN_DOCKER_MEDIA_TYPES="maybe")
    assert (wrong.returncode, "COSIGN_DOCKER_MEDIA_TYPES=maybe" in wrong.stderr) == (2, True)
    assert command(*sign, COSIGN_DOCKER_MEDIA_TYPES="1").returncode == 0
    entries = json.loads((path / "index.json").read_text())["manifests"]
    (entry,) = [e for e in entries if e["annotations"].get("kind") == "dev.cosignproject.cosign/sigs"]
    assert entry["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.loads((path / "blobs" / entry["digest"].replace(":", "/")).read_text())
    assert manifest["mediaType"] == entry["mediaType"]
    assert manifest["config"]["mediaType"] == "application/vnd.docker.container.image.v1+json"
    assert command("verify", "--key", "cosign.pub", image).returncode == 0


def test_payloads_in_other_formats_are_shown_as_they_are(command: Command, keys: Path, image: str) -> None:
    """What `--check-claims=false` lets pass need not be cosign's document, nor anything that can be printed as JSON."""
    path = Path(image.removeprefix("oci:").removesuffix(":v1"))
    assert command("sign", "--key", "cosign.key", image).returncode == 0
    key = cosign.PrivateKey.load(keys / "cosign.key", password=PASSWORD)
    verify = ("verify", "--key", "cosign.pub", "--check-claims=false", image)
    for payload in (b"any format", b"[]", b'{"optional":[1]}', b'{"critical":"\\ud800"}', b"\xff\x00"):
        replace_payload(path, payload, base64.b64encode(key.sign(payload)).decode())
        text = subprocess.run(
            [sys.executable, "-m", "cosign", *verify, "-o", "text"], cwd=keys, capture_output=True, timeout=60
        )
        assert (text.returncode, text.stdout) == (0, payload + b"\n"), text.stderr
        shown = command(*verify)
        assert "internal error" not in shown.stderr
        if payload.startswith(b"{"):
            assert shown.returncode == 0
            assert json.loads(shown.stdout)[0]["optional"] is None
        else:
            assert (shown.returncode, shown.stdout) == (1, "")
            assert "-o text" in shown.stderr and "checks were performed" not in shown.stderr


def replace_payload(layout: Path, payload: bytes, signature: str) -> None:
    """Rewrites the layout's one signature image so that it carries this payload and signature."""

    def put(content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        (layout / "blobs/sha256" / digest).write_bytes(content)
        return f"sha256:{digest}"

    index = json.loads((layout / "index.json").read_text())
    (entry,) = [e for e in index["manifests"] if e["annotations"].get("kind") == "dev.cosignproject.cosign/sigs"]
    manifest = json.loads((layout / "blobs" / entry["digest"].replace(":", "/")).read_text())
    (layer,) = manifest["layers"]
    layer["digest"], layer["size"] = put(payload), len(payload)
    layer["annotations"]["dev.cosignproject.cosign/signature"] = signature
    content = json.dumps(manifest).encode()
    entry["digest"], entry["size"] = put(content), len(content)
    (layout / "index.json").write_text(json.dumps(index))


def test_an_argument_that_is_no_utf8_is_a_usage_error(command: Command, keys: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cosign", "verify", "--key", "cosign.pub", b"registry.example/\xff"],
        cwd=keys,
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, b"not UTF-8" in done.stderr) == (2, True)


def test_bad_keys_and_files(command: Command, keys: Path, image: str) -> None:
    wrong = command("sign", "--key", "cosign.key", image, password="not " + PASSWORD[:4])
    assert (wrong.returncode, "cosign.key" in wrong.stderr) == (3, True)
    assert command("sign", "--key", "cosign.pub", image).returncode == 3
    assert command("verify", "--key", "cosign.key", image).returncode == 3
    for arguments in (("sign", "--key", "none.key"), ("verify", "--key", "none.pub")):
        missing = command(*arguments, image)
        assert missing.returncode == 1
        assert arguments[2] in missing.stderr
    (keys / "cut.key").write_bytes((keys / "cosign.key").read_bytes()[:300])
    assert command("sign", "--key", "cut.key", image).returncode == 3
    assert command("generate-key-pair", "--output-key-prefix", "no/where").returncode == 1


def test_a_closed_pipe_is_141_without_noise(command: Command, keys: Path, image: str) -> None:
    command("sign", "--key", "cosign.key", image)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "cosign", "verify", "--key", "cosign.pub", image],
        cwd=keys,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert (done.returncode, "Traceback" in done.stderr, "Exception" in done.stderr) == (141, False, False)


def test_help_names_every_command(command: Command) -> None:
    from cosign._cli import COMMANDS

    done = command("help")
    for name in COMMANDS:
        assert name in done.stdout
        shown = command(name, "--help")
        assert (shown.returncode, shown.stdout.startswith(f"usage: cosign {name}")) == (0, True)


def test_csv_as_go_reads_it() -> None:
    assert csv_fields("a=1,b=2") == ["a=1", "b=2"]
    assert csv_fields('"a=1,2",b=3') == ["a=1,2", "b=3"]
    assert csv_fields('"a=""x"""') == ['a="x"']
    assert csv_fields('"a=1\nb"') == ["a=1\nb"]
    assert csv_fields("a=1\n") == ["a=1"]
    assert csv_fields("a= 1 ,b=") == ["a= 1 ", "b="]
    for wrong in ("", "\n", 'a"', '"a', '"a"b', '"a"\nb', "a\nb", "a\n\n"):
        with pytest.raises(UsageError):
            csv_fields(wrong)
    assert annotation_pairs(["a=1,b=2", "a=1"]) == {"a": "1", "b": "2"}
    for bad in (["a=1,"], ["=1"], ["a=b=c"]):
        with pytest.raises(UsageError):
            annotation_pairs(bad)


def test_durations_as_go_reads_them() -> None:
    assert duration("3m0s") == 180
    assert duration("1.5h") == 5400
    assert duration("0") is None
    for wrong in ("", "3", "m", "-3s", "3 s"):
        with pytest.raises(UsageError):
            duration(wrong)
