"""Real registries on loopback, real signers, and a proxy between them that counts requests and adds a round trip.

Everything listens on 127.0.0.1. The tools are those of scripts/tools.sh; each runs with a home of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(os.environ["COSIGN_TOOLS"])
PASSWORD = "bench"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(folder: Path) -> dict[str, str]:
    """What a tool finds: nothing of the machine's own settings, and no way out of it."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "TUF_ROOT": str(folder / "tuf"),
        "DOCKER_CONFIG": str(folder / "docker"),
        "COSIGN_PASSWORD": PASSWORD,
        "TMPDIR": str(folder),
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }


class Server:
    """A registry of others: `distribution` (no list of referrers) or `ggcr` (Google's, with it)."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.port = free_port()
        if kind == "distribution":
            config = folder / f"{kind}-{self.port}.yml"
            config.write_text(
                "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
                f"storage:\n  delete: {{enabled: true}}\n  filesystem: {{rootdirectory: {folder}/data-{self.port}}}\n"
                f"http: {{addr: 127.0.0.1:{self.port}}}\n"
            )
            command = [TOOLS / "docker-registry", "serve", config]
        else:
            command = [TOOLS / "ggcr-registry", "-addr", f"127.0.0.1:{self.port}", "-referrers=true"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={})
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                break
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{kind} does not start")
            time.sleep(0.02)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Proxy:
    """Forwards HTTP/1.1 to a registry, notes each request, and answers a round trip later than the registry does.

    Opening a connection costs one round trip, too. Runs in a thread of its own.
    """

    def __init__(self, target: int, round_trip: float = 0.0) -> None:
        self.target, self.round_trip = target, round_trip
        self.requests: list[str] = []
        self.port = 0
        ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _run(self, ready: threading.Event) -> None:
        async def serve() -> None:
            server = await asyncio.start_server(self._client, "127.0.0.1", 0, limit=1 << 20, backlog=1024)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            async with server:
                await server.serve_forever()

        asyncio.set_event_loop(self.loop)
        with contextlib.suppress(asyncio.CancelledError, RuntimeError):
            self.loop.run_until_complete(serve())

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream: asyncio.StreamWriter | None = None
        try:
            await asyncio.sleep(self.round_trip)
            up_reader, upstream = await asyncio.open_connection("127.0.0.1", self.target, limit=1 << 20)
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
                self.requests.append(f"{method} {path}")
                upstream.write(head)
                await _body(head, reader, upstream)
                answer = await up_reader.readuntil(b"\r\n\r\n")
                while answer.startswith(b"HTTP/1.1 1"):
                    answer = await up_reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(self.round_trip)
                writer.write(answer)
                status = answer.split(b" ", 2)[1]
                if method != "HEAD" and status not in (b"204", b"304"):
                    await _body(answer, up_reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for end in (writer, upstream):
                if end is not None:
                    end.close()

    def mark(self) -> int:
        return len(self.requests)

    def since(self, mark: int) -> list[str]:
        return self.requests[mark:]


async def _body(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Passes on what follows a head."""
    lines = head.decode("latin-1").lower().split("\r\n")[1:]
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    if "chunked" in fields.get("transfer-encoding", ""):
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            writer.write(line + await reader.readexactly(size + 2))
            if size == 0:
                return
    left = int(fields.get("content-length", "0"))
    while left:
        piece = await reader.read(min(left, 1 << 16))
        if not piece:
            raise ConnectionError
        writer.write(piece)
        left -= len(piece)
    await writer.drain()


class World:
    """A folder with keys, a policy for skopeo, and the servers that were started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = environment(folder)
        self.servers: list[Server] = []
        (folder / "docker").mkdir()
        (folder / "registries.d").mkdir()
        (folder / "registries.d/default.yaml").write_text("default-docker:\n  use-sigstore-attachments: true\n")
        (folder / "passphrase").write_text(PASSWORD)
        self.key("cosign")
        (folder / "accept.json").write_text('{"default":[{"type":"insecureAcceptAnything"}]}')

    def key(self, name: str) -> Path:
        """A key pair of real cosign's."""
        self.run("cosign2", "generate-key-pair", "--output-key-prefix", str(self.folder / name))
        return self.folder / name

    def run(self, tool: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(TOOLS / tool), *arguments]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, cwd=self.folder)
        if check and done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
        return done

    def start(self, kind: str) -> Server:
        server = Server(kind, self.folder)
        self.servers.append(server)
        return server

    def push(self, host: str, name: str) -> str:
        """Copies the example image there, unsigned, and returns its digest."""
        source = f"oci:{ROOT}/examples/image:v1"
        flags = ["--policy", str(self.folder / "accept.json"), "--dest-tls-verify=false"]
        self.run("skopeo", "copy", *flags, "--preserve-digests", source, f"docker://{host}/{name}")
        index = json.loads((ROOT / "examples/image/index.json").read_text())
        digest: str = index["manifests"][0]["digest"]
        return digest

    def policy(self, prefix: Path) -> str:
        """A policy of skopeo's that demands a signature by this key."""
        demand = {
            "type": "sigstoreSigned",
            "keyPath": f"{prefix}.pub",
            "signedIdentity": {"type": "matchRepository"},
        }
        path = self.folder / "policy.json"
        path.write_text(json.dumps({"default": [{"type": "reject"}], "transports": {"docker": {"": [demand]}}}))
        return str(path)


@contextlib.contextmanager
def world() -> Iterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="cosign-bench-"))
    made = World(folder)
    try:
        yield made
    finally:
        for server in made.servers:
            server.close()
        shutil.rmtree(folder, ignore_errors=True)
