"""What is left of sixteen signatures that are made at the same time: real cosign 2.5 and 3.1, and this library.

    make bench, or alone: COSIGN_TOOLS=… ROUNDS=5 python benches/network/losses.py (with the wheel installed)

Each round pushes a new image, starts sixteen signers with a key each (whole processes, started together), waits for all of
them to say that they succeeded, and asks real cosign which of the sixteen keys it can verify the image with.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from world import ROOT, TOOLS, World, world

SIGNERS = 16
ROUNDS = int(os.environ.get("ROUNDS", "5"))
OURS = [os.environ.get("COSIGN_PYTHON", sys.executable), "-m", "cosign"]
OLD = ["--tlog-upload=false", "-y", "--allow-http-registry"]
NEW = ["--use-signing-config=false", "--tlog-upload=false", "-y", "--allow-http-registry"]

# name, command without key and image, the registry, the real verifier
SUBJECTS = [
    ("cosign 2.5, .sig", [str(TOOLS / "cosign2"), "sign", *OLD], "distribution", "cosign2"),
    ("cosign 3.1, bundles, no referrers", [str(TOOLS / "cosign3"), "sign", *NEW], "distribution", "cosign3"),
    ("cosign 3.1, bundles, referrers", [str(TOOLS / "cosign3"), "sign", *NEW], "ggcr", "cosign3"),
    ("libcosign, .sig", [*OURS, "sign"], "distribution", "cosign2"),
    ("libcosign, bundles, no referrers", [*OURS, "sign", "--format", "bundle"], "distribution", "cosign3"),
    ("libcosign, bundles, referrers", [*OURS, "sign", "--format", "bundle"], "ggcr", "cosign3"),
]


def lost(place: World, command: list[str], host: str, verifier: str, keys: list[Path], round: int) -> tuple[int, int]:
    """How many of the signers said that they signed, and how many of those signatures are gone."""
    name = f"losses/app{round}"
    digest = place.push(host, f"{name}:v1")
    image = f"{host}/{name}@{digest}"
    signers = [
        subprocess.Popen(
            [*command, "--key", f"{key}.key", image],
            env=place.env,
            cwd=place.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for key in keys
    ]
    signed = []
    for key, signer in zip(keys, signers, strict=True):
        _, said = signer.communicate()
        if signer.returncode == 0:
            signed.append(key)
        else:
            print(f"    a signer failed: {said.decode(errors='replace').strip()[-200:]}", flush=True)

    def verifies(key: Path) -> bool:
        flags = ["--insecure-ignore-tlog=true", "--allow-http-registry", "--key", f"{key}.pub"]
        return place.run(verifier, "verify", *flags, image, check=False).returncode == 0

    with ThreadPoolExecutor(2) as pool:
        found = sum(pool.map(verifies, signed))
    return len(signed), len(signed) - found


def main() -> None:
    print(f"{SIGNERS} signers at once, {ROUNDS} rounds; what real cosign does not find afterwards")
    with world() as place:
        keys = [place.key(f"key{n}") for n in range(SIGNERS)]
        for name, command, kind, verifier in SUBJECTS:
            server = place.start(kind)
            counts = [lost(place, command, server.host, verifier, keys, round) for round in range(ROUNDS)]
            signed, gone = (sum(column) for column in zip(*counts, strict=True))
            print(f"  {name:36} {gone:4} of {signed:4} lost  ({100 * gone / max(signed, 1):3.0f} %)", flush=True)
            server.close()


if __name__ == "__main__":
    assert (ROOT / "examples").is_dir()
    main()
