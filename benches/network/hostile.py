"""Peak memory of a C program that verifies an image at a registry which means harm.

Each row is one way to be big: an answer without end, as much as every limit lets through, and a list of lists. The program
must end by itself, and must not verify.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cosign

MEASURE, PROGRAM = os.environ["COSIGN_MEASURE"], os.environ["COSIGN_C_EXAMPLE"]
MANIFEST, INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIGNATURE = "application/vnd.dev.cosign.simplesigning.v1+json"
DIGEST = "sha256:" + "ab" * 32
PAYLOAD, BIG = bytes(1 << 20), bytes(4 << 20)
Answer = tuple[int, str, Iterator[bytes]]


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def once(kind: str, content: bytes) -> Answer:
    return 200, kind, iter([content])


def endless(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece


def absent() -> Answer:
    return 404, "application/json", iter([b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no"}]}'])


def layers(count: int) -> bytes:
    layer = {"mediaType": SIGNATURE, "size": len(PAYLOAD), "digest": digest(PAYLOAD)}
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": digest(b"{}")}
    signed = [layer | {"annotations": {"dev.cosignproject.cosign/signature": f"MEUC{n:04}"}} for n in range(count)]
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": signed}).encode()


def bundle(n: int) -> bytes:
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "digest": digest(b"{}")}
    layer = {"mediaType": BUNDLE, "size": len(BIG), "digest": digest(BIG)}
    subject = {"mediaType": MANIFEST, "size": 500, "digest": DIGEST}
    made = {"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE, "config": empty, "layers": [layer]}
    return json.dumps(made | {"subject": subject, "annotations": {"n": str(n)}}).encode()


BUNDLES = {digest(made): made for made in map(bundle, range(100))}


def list_of_bundles() -> bytes:
    entries = [
        {"mediaType": MANIFEST, "artifactType": BUNDLE, "size": len(made), "digest": own}
        for own, made in BUNDLES.items()
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()


def nothing(path: str) -> Answer:
    return absent()


def endless_manifest(path: str) -> Answer:
    return (200, MANIFEST, endless(b" " * 65536)) if "/manifests/" in path else absent()


def endless_list(path: str) -> Answer:
    if "/referrers/" in path:
        return 200, INDEX, endless(b" " * 65536)
    return absent()


def endless_tags(path: str) -> Answer:
    if "/tags/list" in path:
        names = ",".join(f'"sha256-{n:064x}.x"' for n in range(1000)).encode()
        return (
            200,
            "application/json",
            (piece for part in ([b'{"name":"a","tags":["a"'], endless(b"," + names)) for piece in part),
        )
    return absent()


def great_payloads(path: str) -> Answer:
    if path.endswith(".sig"):
        return once(MANIFEST, layers(1000))
    return once("application/octet-stream", PAYLOAD) if "/blobs/" in path else absent()


def great_bundles(path: str) -> Answer:
    if "/referrers/" in path:
        return once(INDEX, list_of_bundles())
    if "/blobs/" in path:
        return once("application/octet-stream", BIG)
    made = BUNDLES.get(path.rsplit("/", 1)[1])
    return once(MANIFEST, made) if made else absent()


def padded(made: dict[str, object], form: str) -> bytes:
    """As large as a manifest may be, filled with texts, small objects or numbers."""
    empty = json.dumps(made | {"x": []}).encode()
    piece, most = {"texts": (b'"%s"' % (b"x" * 65000), 60), "objects": (b'{"a":{}}', 9_500), "numbers": (b"0", 19_000)}[form]
    return empty.replace(b"[]}", b"[%s]}" % b",".join([piece] * most))


def great_manifest(form: str) -> Callable[[str], Answer]:
    signatures = padded(json.loads(layers(1)), form)
    listed = padded(json.loads(list_of_bundles()), form)

    def way(path: str) -> Answer:
        if path.endswith(".sig"):
            return once(MANIFEST, signatures)
        return once(INDEX, listed) if "/referrers/" in path else absent()

    return way


GREAT = {digest(made): made for made in (padded(json.loads(bundle(n)), "texts") for n in range(20))}


def great_bundle_manifests(path: str) -> Answer:
    if "/referrers/" in path:
        entries = [
            {"mediaType": MANIFEST, "artifactType": BUNDLE, "size": len(made), "digest": own} for own, made in GREAT.items()
        ]
        return once(INDEX, json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode())
    made = GREAT.get(path.rsplit("/", 1)[1])
    return once(MANIFEST, made) if made else absent()


WAYS: list[tuple[str, Callable[[str], Answer]]] = [
    ("nothing at all (to compare)", nothing),
    ("manifests without end", endless_manifest),
    ("a list of referrers without end", endless_list),
    ("a list of tags without end", endless_tags),
    ("1,000 payloads of 1 MiB", great_payloads),
    ("100 bundles of 4 MiB", great_bundles),
    ("20 manifests of bundles of 4 MiB", great_bundle_manifests),
    ("both lists of 4 MiB, of long texts", great_manifest("texts")),
    ("both lists, of small objects", great_manifest("objects")),
    ("both lists, of numbers", great_manifest("numbers")),
]


def serve(way: Callable[[str], Answer]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, kind, pieces = way(self.path.split("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            with contextlib.suppress(OSError):
                for piece in pieces:
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.wfile.write(b"0\r\n\r\n")
                return
            self.close_connection = True

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    print("peak memory of the C example at a hostile registry")
    with tempfile.TemporaryDirectory() as folder:
        public = Path(folder) / "cosign.pub"
        cosign.PrivateKey.generate().public_key.save(public)
        figures = Path(folder) / "figures"
        for name, way in WAYS:
            server = serve(way)
            image = f"127.0.0.1:{server.server_address[1]}/team/app@{DIGEST}"
            done = subprocess.run(
                [MEASURE, figures, PROGRAM, image, public], capture_output=True, text=True, timeout=600
            )
            server.shutdown()
            if done.returncode == 0:
                raise SystemExit(f"{name}: verified")
            wall, _, _, peak = map(int, figures.read_text().split())
            said = (done.stderr or done.stdout).strip().splitlines()
            print(
                f"  {name:34} {peak / 1024:6.1f} MiB {wall / 1e6:7.2f} s   {said[-1][:90] if said else ''}", flush=True
            )


if __name__ == "__main__":
    main()
