"""Whole processes that verify and sign one image in a layout: wall time, CPU time and peak memory, ours and the peers'.

Run by scripts/bench.sh, which sets the environment. Prints the median wall time, the least CPU time and the greatest
peak memory of RUNS runs, and how many times our C program's wall time that is.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = int(os.environ.get("RUNS", "15"))
ROOT = Path(__file__).resolve().parent.parent
IMAGE = ROOT / "examples" / "image"
MEASURE = os.environ["COSIGN_MEASURE"]
# Stands in a command for a copy of the image that no run before has signed.
FRESH = "FRESH"

Figures = tuple[float, float, float]


def measure(command: list[str], env: dict[str, str], runs: int = RUNS) -> Figures:
    """Wall milliseconds, CPU milliseconds, MiB."""
    walls, cpus, peaks = [], [], []
    with tempfile.NamedTemporaryFile("r") as figures:
        for run in range(runs):
            fresh = Path(figures.name + f".{run}")
            if FRESH in command:
                shutil.copytree(IMAGE, fresh)
            given = [f"oci:{fresh}:v1" if word == FRESH else word for word in command]
            done = subprocess.run([MEASURE, figures.name, *given], env=env, capture_output=True)
            shutil.rmtree(fresh, ignore_errors=True)
            if done.returncode != 0:
                sys.exit(f"{command}: exit {done.returncode}: {done.stderr.decode(errors='replace')}")
            wall, user, system, peak = map(int, Path(figures.name).read_text().split())
            walls.append(wall / 1000)
            cpus.append((user + system) / 1000)
            peaks.append(peak / 1024)
    return statistics.median(walls), min(cpus), max(peaks)


def row(name: str, figures: Figures, base: Figures | None = None) -> Figures:
    wall, cpu, peak = figures
    ratio = f"{wall / base[0]:7.1f} x" if base else ""
    print(f"  {name:40} {wall:9.1f} ms wall {cpu:9.1f} ms cpu {peak:7.1f} MiB peak {ratio}", flush=True)
    return figures


def main() -> None:
    tools = Path(os.environ["COSIGN_TOOLS"])
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        layout = work / "image"
        shutil.copytree(IMAGE, layout)
        env = dict(os.environ, COSIGN_PASSWORD="bench", HOME=folder, TUF_ROOT=f"{folder}/tuf")
        rust = os.environ["COSIGN_RUST_EXAMPLE"]
        image, prefix = f"oci:{layout}:v1", str(work / "cosign")
        subprocess.run([rust, "keygen", prefix], env=env, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([rust, "sign", f"{prefix}.key", image], env=env, check=True, stdout=subprocess.DEVNULL)
        cli = [os.environ["COSIGN_PYTHON"], "-m", "cosign"]

        print(f"verify one image in a layout, whole processes, {RUNS} runs")
        base = row("C example (libcosign.so)", measure([os.environ["COSIGN_C_EXAMPLE"], image, f"{prefix}.pub"], env))
        row("Rust example", measure([rust, "verify", f"{prefix}.pub", image], env), base)
        row("command line (Python)", measure([*cli, "verify", "--key", f"{prefix}.pub", image], env), base)
        for name in ("cosign2", "cosign3"):
            peer = [str(tools / name), "verify", "--key", f"{prefix}.pub", "--insecure-ignore-tlog=true"]
            row(f"real {name}", measure([*peer, "--local-image", str(layout)], env), base)

        print(f"make a key, sign and verify a fresh image in a layout (the README's examples), {RUNS} runs")
        base = None
        for name, command in (
            ("C", [os.environ["COSIGN_EXAMPLES"] + "/c"]),
            ("C++", [os.environ["COSIGN_EXAMPLES"] + "/cpp"]),
            ("Go", [os.environ["COSIGN_EXAMPLES"] + "/go"]),
            ("Rust", [os.environ["COSIGN_EXAMPLES"] + "/rust"]),
            ("Python", [os.environ["COSIGN_PYTHON"], str(ROOT / "examples/python/sign_and_verify.py")]),
        ):
            figures = row(name, measure([*command, FRESH], env), base)
            base = base or figures

        print("sign one image in a layout with a key file (N = 65536), whole processes, 5 runs")
        base = row("Rust example", measure([rust, "sign", f"{prefix}.key", FRESH], env, 5))
        row("command line (Python)", measure([*cli, "sign", "--key", f"{prefix}.key", FRESH], env, 5), base)

        print("start")
        python = os.environ["COSIGN_PYTHON"]
        bare = row("bare Python", measure([python, "-c", "pass"], env))
        ours = row("import cosign", measure([python, "-c", "import cosign"], env), bare)
        print(f"  import cosign costs {ours[1] - bare[1]:.1f} ms of CPU over bare Python")


main()
