"""Keys: made, written, read, used; and every way in which that must fail."""

from __future__ import annotations

import copy
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import cosign
import pytest
from conftest import PASSWORD, ROOT

VECTORS = ROOT / "tests" / "vectors" / "keys"


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "rsa-2048"])
def test_sign_and_verify_bytes(algorithm: str) -> None:
    key = cosign.PrivateKey.generate(algorithm)  # type: ignore[arg-type]
    assert key.algorithm == key.public_key.algorithm == algorithm
    signature = key.sign(b"data")
    for data in (b"data", bytearray(b"data"), memoryview(b"data")):
        assert key.public_key.verify(data, signature) is None
    with pytest.raises(cosign.SignatureInvalid):
        key.public_key.verify(b"other", signature)
    with pytest.raises(cosign.CosignError):
        key.public_key.verify(b"data", b"")


@pytest.mark.parametrize("format", ["sigstore", "cosign"])
def test_export_and_load(format: str) -> None:
    key = cosign.PrivateKey.generate()
    pem = key.export(password="p\u00e4ss", format=format)  # type: ignore[arg-type]
    assert pem.startswith(b"-----BEGIN ENCRYPTED " + format.upper().encode() + b" PRIVATE KEY-----\n")
    for password in ("p\u00e4ss", "p\u00e4ss".encode(), lambda: "p\u00e4ss", bytearray("p\u00e4ss".encode())):
        assert cosign.PrivateKey.load(pem, password=password).public_key == key.public_key  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["cosign-n32768", "cosign-n65536", "sigstore-n32768", "sigstore-n65536"])
def test_keys_of_other_tools(name: str) -> None:
    key = cosign.PrivateKey.load(VECTORS / f"{name}.key", password="test")
    public = cosign.PublicKey.load(VECTORS / f"{name}.pub")
    assert key.public_key == public
    public.verify(b"x", key.sign(b"x"))


def test_save_writes_a_private_file_once(tmp_path: Path, key: cosign.PrivateKey) -> None:
    path = tmp_path / "a.key"
    key.save(path, password=b"", format="cosign")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(cosign.FileError) as caught:
        key.save(path, password="x", format="cosign")
    assert caught.value.code == "FILE_EXISTS"
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    key.save(str(path), password="x", format="cosign", overwrite=True)
    assert path.read_bytes() != before
    assert os.listdir(tmp_path) == ["a.key"]
    cosign.PrivateKey.load(path, password="x")


def test_a_pair_is_written_whole_or_not_at_all(tmp_path: Path, key: cosign.PrivateKey) -> None:
    (tmp_path / "a.pub").write_text("mine")
    with pytest.raises(cosign.FileError):
        key.save_pair(tmp_path / "a", password="x", format="cosign")
    assert os.listdir(tmp_path) == ["a.pub"]
    made = cosign.generate_key_pair(tmp_path / "b", password="x", format="cosign")
    assert cosign.PublicKey.load(tmp_path / "b.pub") == made.public_key
    assert stat.S_IMODE((tmp_path / "b.pub").stat().st_mode) & 0o600 == 0o600
    with pytest.raises(cosign.FileError, match="nowhere"):
        key.save_pair(tmp_path / "nowhere" / "a", password="x", format="cosign")


@pytest.mark.parametrize("blocked", ["a.key", "a.pub"])
def test_overwriting_a_pair_keeps_the_old_one_when_a_name_is_a_folder(
    tmp_path: Path, key: cosign.PrivateKey, blocked: str
) -> None:
    old = cosign.generate_key_pair(tmp_path / "a", password="x", format="cosign")
    (tmp_path / blocked).unlink()
    (tmp_path / blocked).mkdir()
    with pytest.raises(cosign.FileError, match=blocked) as caught:
        key.save_pair(tmp_path / "a", password="y", format="cosign", overwrite=True)
    assert caught.value.code == "IO"
    assert sorted(os.listdir(tmp_path)) == ["a.key", "a.pub"]
    if blocked == "a.pub":
        assert cosign.PrivateKey.load(tmp_path / "a.key", password="x").public_key == old.public_key
    else:
        assert cosign.PublicKey.load(tmp_path / "a.pub") == old.public_key
    (tmp_path / blocked).rmdir()
    key.save_pair(tmp_path / "a", password="y", format="cosign", overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["a.key", "a.pub"]
    assert cosign.PrivateKey.load(tmp_path / "a.key", password="y").public_key == key.public_key
    assert cosign.PublicKey.load(tmp_path / "a.pub") == key.public_key


@pytest.mark.parametrize(
    ("before", "blocked"),
    [(["a.key", "a.pub"], "a.key"), (["a.key", "a.pub"], "a.pub"), (["a.key"], "a.key"), (["a.pub"], "a.pub")],
)
def test_a_pair_is_both_or_neither_when_a_name_cannot_change(tmp_path: Path, before: list[str], blocked: str) -> None:
    """A file on which another one is mounted keeps its name; a canary shows that it does."""
    cosign.generate_key_pair(tmp_path / "a", password="x", format="cosign")
    for name in ["a.key", "a.pub"]:
        if name not in before:
            (tmp_path / name).unlink()
    script = f"""
import os, subprocess, cosign
os.chdir({str(tmp_path)!r})
subprocess.run(["mount", "--bind", {blocked!r}, {blocked!r}], check=True)
open("canary", "w").close()
try:
    os.rename("canary", {blocked!r})
    raise SystemExit("the canary took the name")
except OSError:
    os.remove("canary")
content = {{name: open(name, "rb").read() for name in os.listdir()}}
try:
    cosign.PrivateKey.generate().save_pair("a", password="y", format="cosign", overwrite=True)
except cosign.FileError as error:
    assert error.code == "IO" and {blocked!r} in str(error), error
    assert {{name: open(name, "rb").read() for name in os.listdir()}} == content, os.listdir()
    print("refused")
"""
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "refused\n", done.stderr


def test_a_read_only_folder_is_an_error_that_names_the_file(tmp_path: Path, key_files: Path) -> None:
    """Root may write anywhere, so another user tries; a canary shows that this user cannot write."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    script = """
import os
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    open("canary", "w")
    raise SystemExit("the canary could be written")
except PermissionError:
    pass
key = cosign.PrivateKey.generate()
try:
    key.save_pair("a", password="x", format="cosign")
except cosign.FileError as error:
    assert error.code == "IO" and "a.key" in str(error), error
    assert os.listdir() == []
    print("refused")
"""
    # Imported before the other user takes over, who may not be able to read the package.
    script = f"import os, json, cosign\ncosign.PrivateKey.generate()\nos.chdir({str(folder)!r})\n" + script
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "refused\n", done.stderr


def test_wrong_and_missing_passwords(key_files: Path) -> None:
    path = f"{key_files}.key"
    with pytest.raises(cosign.WrongPassword) as wrong:
        cosign.PrivateKey.load(path, password="no " + PASSWORD)
    assert path in str(wrong.value)
    assert PASSWORD not in repr(wrong.value) + str(wrong.value.details)
    with pytest.raises(cosign.PasswordRequired):
        cosign.PrivateKey.load(path)
    with pytest.raises(TypeError):
        cosign.PrivateKey.load(path, password=7)  # type: ignore[arg-type]
    with pytest.raises(cosign.PasswordRequired):
        cosign.PrivateKey.generate().export(password=None)
    with pytest.raises(cosign.ArgumentError) as unwritable:
        cosign.PrivateKey.load(path, password="secret\udc80")
    assert "secret" not in repr(unwritable.value) + repr(unwritable.value.__context__)


def test_the_password_function(key_files: Path) -> None:
    path = f"{key_files}.key"
    asked: list[None] = []

    def ask() -> str:
        asked.append(None)
        return PASSWORD

    cosign.PrivateKey.load(path, password=ask)
    assert len(asked) == 1
    with pytest.raises(cosign.KeyFileError):
        cosign.PrivateKey.load(b"no key at all", password=ask)
    assert len(asked) == 1, "nobody is asked for the password of a broken file"

    def broken() -> str:
        raise LookupError("keyring is locked")

    with pytest.raises(cosign.CallbackError) as caught:
        cosign.PrivateKey.load(path, password=broken)
    assert isinstance(caught.value.__cause__, LookupError)
    with pytest.raises(cosign.CallbackError):
        cosign.PrivateKey.load(path, password=lambda: 5)  # type: ignore[arg-type, return-value]

    def interrupted() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cosign.PrivateKey.load(path, password=interrupted)


def test_a_key_file_truncated_anywhere_is_a_typed_error(key_files: Path) -> None:
    pem = Path(f"{key_files}.key").read_bytes()
    # Without the last line end the file is still whole.
    for length in range(len(pem) - 1):
        with pytest.raises(cosign.CosignError):
            cosign.PrivateKey.load(pem[:length])
    for length in range(0, len(pem) - 2, 40):
        with pytest.raises(cosign.KeyFileError):
            cosign.PrivateKey.load(pem[:length], password=PASSWORD)


def test_files_that_are_not_keys(tmp_path: Path) -> None:
    with pytest.raises(cosign.FileError, match=r"none\.key"):
        cosign.PrivateKey.load(tmp_path / "none.key", password="x")
    big = tmp_path / "big"
    big.write_bytes(b"x" * (1 << 20) + b"x")
    with pytest.raises(cosign.CosignError, match="larger"):
        cosign.PrivateKey.load(big, password="x")
    with pytest.raises(cosign.FileError):
        cosign.PrivateKey.load(tmp_path, password="x")
    with pytest.raises(cosign.CosignError):
        cosign.PrivateKey.load(cosign.PrivateKey.generate().public_key.pem.encode(), password="x")
    with pytest.raises(cosign.UnsupportedKey):
        cosign.PrivateKey.generate("dsa")  # type: ignore[arg-type]


def test_public_keys_in_every_form(tmp_path: Path, key_files: Path) -> None:
    public = cosign.PublicKey.load(f"{key_files}.pub")
    inline = "".join(public.pem.splitlines()[1:-1])
    for source in (public.pem, public.pem.encode(), inline, Path(f"{key_files}.pub")):
        assert cosign.PublicKey.load(source) == public  # type: ignore[arg-type]
    assert cosign.PublicKey.from_der(public.der) == public
    assert {public: 1}[cosign.PublicKey.from_der(public.der)] == 1
    assert len(public.fingerprint) == 64
    with pytest.raises(cosign.CosignError, match=r"none\.pub"):
        cosign.PublicKey.load(str(tmp_path / "none.pub"))
    with pytest.raises(cosign.CosignError):
        cosign.PublicKey.load("!!!")


def test_hostile_buffers(key: cosign.PrivateKey) -> None:
    with pytest.raises(TypeError, match="str"):
        key.sign("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        key.sign(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        key.sign(memoryview(bytes(8)).cast("f"))
    with pytest.raises(ValueError):
        key.sign(memoryview(b"abcdef")[::2])
    released = memoryview(b"abc")
    released.release()
    with pytest.raises(ValueError):
        key.sign(released)


def test_private_keys_do_not_leak_or_travel(key: cosign.PrivateKey) -> None:
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        for thing in (key, cosign.Signer(key)):
            with pytest.raises(TypeError):
                attempt(thing)  # type: ignore[operator]
    assert repr(key) == f"<PrivateKey ecdsa-p256 sha256:{key.public_key.fingerprint[:16]}>"
    assert f"{key}" == repr(key)
    assert not hasattr(key, "__dict__")


def test_a_closed_key_signs_nothing() -> None:
    with cosign.PrivateKey.generate() as key:
        signer = cosign.Signer(key)
    with pytest.raises(cosign.ArgumentError, match="closed"):
        key.sign(b"x")
    with pytest.raises(cosign.ArgumentError, match="closed"):
        signer.sign_image("oci:x")
    assert repr(key) == "<PrivateKey closed>"


def test_import_of_a_plain_key(tmp_path: Path) -> None:
    plain = tmp_path / "plain.pem"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(plain)],
        check=True,
        capture_output=True,
    )
    assert cosign.PrivateKey.import_pem(plain).algorithm == "ecdsa-p256"
    with pytest.raises(cosign.KeyFileError, match="import"):
        cosign.PrivateKey.load(plain, password="x")
