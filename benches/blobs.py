"""A large file, sparse: time of signing and verifying beside `openssl dgst -sha256`, and memory beside an empty file.

    COSIGN_MEASURE=... COSIGN_PYTHON=... [COSIGN_TOOLS=...] [SIZE=4294967296] python3 benches/blobs.py

Run by scripts/bench.sh. The two are measured in turns, so that a busy machine slows both; prints the medians, their
ratio, and the greatest peak of RUNS runs. Prints and never judges: wanted are 1.1 times the time and 16 MiB more memory.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = int(os.environ.get("RUNS", "5"))
SIZE = int(os.environ.get("SIZE", str(4 << 30)))
MEASURE = os.environ["COSIGN_MEASURE"]


def once(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Wall seconds, peak MiB."""
    with tempfile.NamedTemporaryFile("r") as figures:
        done = subprocess.run([MEASURE, figures.name, *command], env=env, capture_output=True)
        if done.returncode != 0:
            sys.exit(f"{command}: exit {done.returncode}: {done.stderr.decode(errors='replace')}")
        wall, _, _, peak = map(int, Path(figures.name).read_text().split())
    return wall / 1e6, peak / 1024


def main() -> None:
    python = os.environ["COSIGN_PYTHON"]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        env = dict(os.environ, COSIGN_PASSWORD="bench", HOME=folder, TUF_ROOT=f"{folder}/tuf")
        big, empty = work / "big", work / "empty"
        empty.touch()
        with big.open("wb") as file:
            file.truncate(SIZE)
        cli = [python, "-m", "cosign"]
        keys = [*cli, "generate-key-pair", "--key-format=cosign", "--output-key-prefix", str(work / "k")]
        subprocess.run(keys, env=env, check=True, capture_output=True)
        sign = [*cli, "sign-blob", "--key", f"{work}/k.key", "--bundle", f"{work}/bundle"]
        verify = [*cli, "verify-blob", "--key", f"{work}/k.pub", "--bundle", f"{work}/bundle"]
        print(f"a blob of {SIZE >> 20} MiB, whole processes, {RUNS} runs each in turn with openssl")
        for name, command in (("sign-blob", sign), ("verify-blob", verify)):
            # The bundle that verifying the empty file needs is the last one that is written.
            if command is verify:
                once([*sign, str(empty)], env)
            floor = once([*command, str(empty)], env)
            if command is verify:
                once([*sign, str(big)], env)
            ours, theirs = [], []
            for _ in range(RUNS):
                theirs.append(once(["openssl", "dgst", "-sha256", str(big)], env))
                ours.append(once([*command, str(big)], env))
            wall, peer = (statistics.median(wall for wall, _ in figures) for figures in (ours, theirs))
            peak = max(peak for _, peak in ours)
            print(
                f"  {name:12} {wall:7.2f} s  openssl dgst -sha256 {peer:7.2f} s  ({wall / peer:.2f} x)"
                f"  {peak:6.1f} MiB peak, {peak - floor[1]:+.1f} MiB over an empty file",
                flush=True,
            )


main()
