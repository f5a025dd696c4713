"""The in-process figures of benches/core.rs in one table, beside OpenSSL's for the same work and this machine.

Run by scripts/bench.sh after criterion, whose estimates (medians) it reads. Prints and never judges.
"""

import hashlib
import json
import os
import re
import statistics
import subprocess
import time
from pathlib import Path

CRITERION = Path(os.environ["CARGO_TARGET_DIR"]) / "criterion"


def ours(name: str) -> float:
    """Microseconds."""
    return json.loads((CRITERION / name / "new/estimates.json").read_text())["median"]["point_estimate"] / 1000


def openssl(algorithm: str) -> tuple[float, float]:
    """Microseconds to sign and to verify."""
    text = subprocess.run(
        ["openssl", "speed", "-seconds", "1", algorithm], capture_output=True, text=True, check=True
    ).stdout
    rates = re.findall(r"[\d.]+", text.strip().splitlines()[-1])
    assert len(rates) >= 4, text
    return 1e6 / float(rates[-2]), 1e6 / float(rates[-1])


def row(name: str, figure: float, bound: str, peer: str = "", beside: float = 0) -> None:
    ratio = f"{peer} {beside:10.1f} us  ({figure / beside:.2f} x)" if beside else ""
    print(f"  {name:36} {figure:10.1f} us  {bound:14} {ratio}")


def scrypt() -> float:
    runs = []
    for _ in range(5):
        started = time.perf_counter()
        hashlib.scrypt(b"test", salt=bytes(32), n=65536, r=8, p=1, maxmem=1 << 27, dklen=32)
        runs.append((time.perf_counter() - started) * 1e6)
    return statistics.median(runs)


def main() -> None:
    print("in process (wanted: the bound that the figure was given; beside: OpenSSL on this machine)")
    kdf, decrypt = ours("key file, N = 65536/bare KDF"), ours("key file, N = 65536/decrypt")
    row("scrypt N = 65536, bare", kdf, "", "OpenSSL", scrypt())
    row("decrypt a key file", decrypt, "<= 1.05 x KDF", "bare KDF", kdf)
    sign, verify = openssl("ecdsap256")
    row("sign, P-256", ours("sign ecdsa-p256"), "<= 25 us", "OpenSSL", sign)
    row("verify, P-256", ours("verify ecdsa-p256"), "<= 60 us", "OpenSSL", verify)
    for name, peer in (("ecdsa-p384", "ecdsap384"), ("ecdsa-p521", "ecdsap521"), ("ed25519", "ed25519")):
        sign, verify = openssl(peer)
        row(f"sign, {name}", ours(f"sign {name}"), "", "OpenSSL", sign)
        row(f"verify, {name}", ours(f"verify {name}"), "", "OpenSSL", verify)
    row("judge one fetched legacy signature", ours("judge one fetched legacy signature"), "<= 100 us")
    row("verify an image in a layout", ours("verify an image in a layout"), "")


main()
