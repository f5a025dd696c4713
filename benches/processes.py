"""Whole processes that verify and sign one image in a layout: wall time, CPU time and peak memory, ours and the peers'.

Run by scripts/bench.sh, which sets the environment. Prints the median wall time, the least CPU time and the greatest
peak memory of RUNS runs.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = int(os.environ.get("RUNS", "15"))
ROOT = Path(__file__).resolve().parent.parent


def measure(command: list[str], env: dict[str, str], runs: int = RUNS) -> tuple[float, float, float]:
    walls, cpus, peaks = [], [], []
    for _ in range(runs):
        started = time.perf_counter()
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr is not None
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        walls.append(time.perf_counter() - started)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"{command}: exit {process.returncode}: {errors.decode(errors='replace')}")
        cpus.append(usage.ru_utime + usage.ru_stime)
        peaks.append(usage.ru_maxrss)
    return statistics.median(walls), min(cpus), max(peaks) / 1024


def row(name: str, figures: tuple[float, float, float]) -> None:
    wall, cpu, peak = figures
    print(f"{name:44} {wall * 1000:9.1f} ms wall {cpu * 1000:9.1f} ms cpu {peak:7.1f} MiB peak")


def main() -> None:
    assert resource.getrlimit(resource.RLIMIT_CPU)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        layout = work / "image"
        shutil.copytree(ROOT / "examples" / "image", layout)
        env = dict(os.environ, COSIGN_PASSWORD="bench", HOME=folder, TUF_ROOT=f"{folder}/tuf")
        rust = os.environ["COSIGN_RUST_EXAMPLE"]
        image, prefix = f"oci:{layout}:v1", str(work / "cosign")
        subprocess.run([rust, "keygen", prefix], env=env, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([rust, "sign", f"{prefix}.key", image], env=env, check=True, stdout=subprocess.DEVNULL)
        cli = [os.environ["COSIGN_PYTHON"], "-m", "cosign"]
        print(f"verify one image in a layout, median of {RUNS} runs")
        row("  C example (libcosign.so)", measure([os.environ["COSIGN_C_EXAMPLE"], image, f"{prefix}.pub"], env))
        row("  Rust example", measure([rust, "verify", f"{prefix}.pub", image], env))
        row("  command line (Python)", measure([*cli, "verify", "--key", f"{prefix}.pub", image], env))
        for name in ("cosign2", "cosign3"):
            peer = [name, "verify", "--key", f"{prefix}.pub", "--insecure-ignore-tlog=true", "--local-image"]
            row(f"  real {name}", measure([*peer, str(layout)], env))
        print("sign one image in a layout (key file with N = 65536)")
        row("  Rust example", measure([rust, "sign", f"{prefix}.key", image], env, 5))
        row("  command line (Python)", measure([*cli, "sign", "--key", f"{prefix}.key", image], env, 5))
        print("start")
        python = os.environ["COSIGN_PYTHON"]
        row("  bare Python", measure([python, "-c", "pass"], env))
        row("  import cosign", measure([python, "-c", "import cosign"], env))


main()
