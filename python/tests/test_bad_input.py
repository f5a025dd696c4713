"""Bad input to the command: each row says which file, what was found, what to do, and leaves everything as it was."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cosign
import pytest
from conftest import PASSWORD, ROOT, Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

Snapshot = dict[str, tuple[int, bytes]]


def snapshot(folder: Path) -> Snapshot:
    """Every file below a folder with its mode and content."""
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*")
    }


@pytest.fixture
def keys(tmp_path: Path, key_files: Path) -> Path:
    shutil.copy(f"{key_files}.key", tmp_path / "cosign.key")
    shutil.copy(f"{key_files}.pub", tmp_path / "cosign.pub")
    return tmp_path


def refused(done: subprocess.CompletedProcess[str], exit_code: int, *words: str) -> None:
    """One line about the error, nothing on standard output."""
    assert (done.returncode, done.stdout) == (exit_code, ""), done.stderr
    message = done.stderr.removeprefix("Signing artifact...\n")
    assert message.startswith("Error: "), done.stderr
    assert message.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    for secret in ("Traceback", "panicked", PASSWORD):
        assert secret not in done.stderr


def changed(pem: bytes, old: bytes, new: bytes) -> bytes:
    """A key file whose JSON was changed."""
    begin, *data, end = pem.splitlines()
    document = base64.b64decode(b"".join(data))
    assert old in document
    return b"\n".join([begin, base64.b64encode(document.replace(old, new)), end, b""])


def test_a_wrong_password(command: Command, keys: Path, image: str) -> None:
    before = snapshot(keys)
    done = command("sign", "--key", "cosign.key", image, password="tr0ub4dor")
    refused(done, 3, "cosign.key: ", "the password is wrong", "give the password that the file was made with")
    assert "tr0ub4dor" not in done.stderr
    assert snapshot(keys) == before


def test_a_scrypt_cost_of_2_to_the_40(command: Command, keys: Path, image: str) -> None:
    pem = (keys / "cosign.key").read_bytes()
    (keys / "huge.key").write_bytes(changed(pem, b'"N":32768', b'"N":1099511627776'))
    before = snapshot(keys)
    words = ("huge.key: ", "found N = 1099511627776", "expected N of 32768, 65536 or 131072", "use a key file")
    refused(command("sign", "--key", "huge.key", image), 3, *words)
    # With any password, or none: it is refused before a password counts.
    for password in (PASSWORD, None):
        with pytest.raises(cosign.KeyFileError, match="found N = 1099511627776"):
            cosign.PrivateKey.load(keys / "huge.key", password=password)
    assert snapshot(keys) == before


def test_a_key_file_cut_off_at_any_byte(command: Command, keys: Path, image: str) -> None:
    pem = (keys / "cosign.key").read_bytes()
    cut = keys / "cut.key"
    secret = pem.splitlines()[3][:16].decode()
    # Without the last line end the file is still whole.
    for length in range(len(pem) - 1):
        cut.write_bytes(pem[:length])
        with pytest.raises(cosign.KeyFileError) as caught:
            cosign.PrivateKey.load(cut, password=PASSWORD)
        assert caught.value.code == "KEY_FORMAT"
        message = str(caught.value)
        assert message.startswith(f"{cut}: ")
        assert "expected a whole key file" in message
        assert secret not in message
    for length in (0, 1, len(pem) // 2, len(pem) - 2):
        cut.write_bytes(pem[:length])
        before = snapshot(keys)
        refused(command("sign", "--key", "cut.key", image), 3, "cut.key: ", "expected a whole key file")
        assert snapshot(keys) == before


def test_a_missing_tag_and_a_missing_layout(command: Command, keys: Path, image: str) -> None:
    before = snapshot(keys)
    for verb, key in (("sign", "cosign.key"), ("verify", "cosign.pub")):
        done = command(verb, "--key", key, image.replace(":v1", ":v9"))
        refused(done, 11, "image:v9", "no such image in the layout", "name one that it holds: v1")
        done = command(verb, "--key", key, f"oci:{keys}/none:v1")
        refused(done, 11, f"{keys}/none", "expected a folder with the files oci-layout and index.json")
    assert snapshot(keys) == before


@pytest.mark.parametrize(("entry", "lie"), [(0, 1), (0, -1), (0, 1 << 40), (1, 1), (1, -1)])
def test_a_layout_that_lies_about_sizes(command: Command, keys: Path, signed: str, entry: int, lie: int) -> None:
    path = keys / "image" / "index.json"
    index = json.loads(path.read_bytes())
    index["manifests"][entry]["size"] += lie
    path.write_text(json.dumps(index))
    size = str(index["manifests"][entry]["size"])
    before = snapshot(keys)
    for verb, key in (("sign", "cosign.key"), ("verify", "cosign.pub")):
        done = command(verb, "--key", key, signed)
        refused(done, 20, f"oci:{keys}/image:v1: blob sha256:", size, "copy the image and its signatures into")
        assert "no signatures" not in done.stderr
    assert snapshot(keys) == before


def test_an_existing_file_is_not_overwritten(command: Command, keys: Path, key: cosign.PrivateKey) -> None:
    plain = keys / "plain.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(plain)], check=True)
    before = snapshot(keys)
    for name in ("cosign.key", "cosign.pub"):
        with pytest.raises(cosign.FileError, match="choose another name, or allow overwriting") as caught:
            key.save(keys / name, password="x", format="cosign")
        assert (caught.value.code, name in str(caught.value)) == ("FILE_EXISTS", True)
    for arguments in (
        ["generate-key-pair"],
        ["import-key-pair", "--key", "plain.pem", "--output-key-prefix", "cosign"],
    ):
        done = command(*arguments, stdin=b"n\n")
        assert done.returncode == 1
        assert done.stderr.startswith("WARNING: File cosign.key already exists. Overwrite?\n")
        assert done.stderr.endswith("Error: user declined the prompt\n")
    done = command("public-key", "--key", "cosign.key", "--outfile", "cosign.pub", stdin=b"n\n")
    assert (done.returncode, "File cosign.pub already exists" in done.stderr) == (1, True)
    assert snapshot(keys) == before


# The command inside a process that was first made unable to write. It runs on what is not there before, so that every
# module is imported: another user may not be able to read them.
CONFINED = """
import contextlib, io, os, resource, signal, sys
from cosign import _cli
os.environ["COSIGN_PASSWORD"] = ""
with contextlib.redirect_stderr(io.StringIO()):
    for rest in (["sign"], ["verify"], ["generate-key-pair", "--output-key-prefix", "/none/x", "--key-format=cosign"]):
        if len(rest) == 1:
            rest += ["--key", "/none/x", "oci:/none:v1"]
        assert _cli.main(rest) == 1
os.environ["COSIGN_PASSWORD"] = os.environ.pop("PASSWORD")
how, canary, size, arguments = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
os.chdir(os.path.dirname(canary))
if how == "nobody" and os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
if how == "limit":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    with open(canary, "wb") as file:
        file.write(bytes(size + 1))
    raise SystemExit("the canary could be written")
except OSError:
    pass
if os.path.exists(canary):
    os.remove(canary)
raise SystemExit(_cli.main(arguments))
"""


def confined(how: str, canary: Path, size: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", "-c", CONFINED, how, str(canary), str(size), *arguments],
        capture_output=True,
        text=True,
        env={"PASSWORD": PASSWORD, "PATH": os.defpath, "LANG": "C.UTF-8"},
        timeout=60,
    )


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter, with a key, its public key and an image signed by it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(ROOT / "examples" / "image", folder / "image")
        for prefix in ("first", "second"):
            key = cosign.generate_key_pair(folder / prefix, password=PASSWORD, format="cosign")
            (folder / f"{prefix}.key").chmod(0o644)
            if prefix == "first":
                cosign.Signer(key).sign_image(f"oci:{folder}/image:v1")
        yield folder


NEW = ("generate-key-pair", "--output-key-prefix", "image/new", "--key-format", "cosign")


@pytest.mark.parametrize("size", [0, 1, 100, 700])
def test_a_file_that_reaches_its_limit(place: Path, size: int) -> None:
    """A limit on the size of files stands for a disk that is full; `tests/tests/processes.rs` has a real one."""
    image = f"oci:{place}/image:v1"
    before = snapshot(place)
    done = confined("limit", place / "canary", size, "sign", "--key", "second.key", image)
    refused(done, 1, f"{image}: cannot write {place}/image/blobs/sha256/", "File too large", "ulimit -f", "sign again")
    done = confined("limit", place / "canary", min(size, 100), *NEW)
    refused(done, 1, "image/new.key: cannot write", "File too large", "ulimit -f", "try again")
    assert snapshot(place) == before
    assert confined("limit", place / "canary", 1 << 16, "sign", "--key", "second.key", image).returncode == 0


def test_a_read_only_folder(place: Path) -> None:
    image = f"oci:{place}/image:v1"
    folders = [path for path in place.rglob("*") if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    before = snapshot(place)
    canary = place / "image" / "canary"
    key = str(place / "second.key")
    done = confined("nobody", canary, 0, "sign", "--key", key, image)
    refused(done, 1, f"{image}: cannot write {place}/image/blobs/sha256/", "Permission denied", "sign a copy")
    done = confined("nobody", canary, 0, "verify", "--key", str(place / "first.pub"), image)
    assert done.returncode == 0, done.stderr
    done = confined("nobody", canary, 0, "generate-key-pair", "--key-format", "cosign")
    refused(done, 1, "cosign.key: cannot write", "Permission denied", "choose a place")
    assert snapshot(place) == before
    for folder in folders:
        folder.chmod(0o755)
