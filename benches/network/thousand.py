"""A thousand signed images in a real registry, verified by one caller: this library in one process, and real cosign, started
once for each image as programs do that have no library.

Of cosign's runs SAMPLE (100) are measured and scaled; SAMPLE=1000 measures all.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import time

import cosign
from world import PASSWORD, World, world

IMAGES = 1000
SAMPLE = int(os.environ.get("SAMPLE", "100"))
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
READ = ["--insecure-ignore-tlog=true", "--allow-http-registry"]


def fill(place: World, host: str) -> list[str]:
    """So many manifests in one repository, each with its signature; real cosign reads the manifest, too."""
    digest = place.push(host, "many/app:v1")
    wire = http.client.HTTPConnection(host)
    wire.request("GET", f"/v2/many/app/manifests/{digest}", headers={"Accept": MANIFEST})
    answer = wire.getresponse()
    kind, manifest = answer.getheader("Content-Type", ""), json.loads(answer.read())
    key = cosign.PrivateKey.load(f"{place.folder}/cosign.key", password=PASSWORD)
    signer = cosign.Signer(key, cosign.Client())
    images = []
    for n in range(IMAGES):
        manifest["annotations"] = {"n": str(n)}
        body = json.dumps(manifest).encode()
        own = f"sha256:{hashlib.sha256(body).hexdigest()}"
        wire.request("PUT", f"/v2/many/app/manifests/{own}", body, {"Content-Type": kind})
        stored = wire.getresponse()
        said = stored.read()
        if stored.status != 201:
            raise SystemExit(f"the registry answers {stored.status} {said!r}")
        images.append(f"{host}/many/app@{own}")
        signer.sign_image(images[-1], journal=False)
    return images


def main() -> None:
    print(f"{IMAGES} signed images in Distribution 2.8, verified by one caller")
    with world() as place:
        images = fill(place, place.start("distribution").host)
        policy = cosign.Policy(keys=[cosign.PublicKey.load(f"{place.folder}/cosign.pub")])
        started = time.perf_counter()
        good = sum(result.error is None for result in cosign.Verifier(policy, cosign.Client()).verify_images(images))
        ours = time.perf_counter() - started
        if good != IMAGES:
            raise SystemExit(f"{good} of {IMAGES} are verified")
        print(f"  {'libcosign, one process':34} {ours:8.2f} s")
        for tool in ("cosign2", "cosign3"):
            started = time.perf_counter()
            for image in images[:SAMPLE]:
                place.run(tool, "verify", *READ, "--key", f"{place.folder}/cosign.pub", image)
            theirs = (time.perf_counter() - started) * IMAGES / SAMPLE
            told = "" if SAMPLE == IMAGES else f", {SAMPLE} runs scaled"
            print(f"  {f'real {tool}, one process each{told}':50} {theirs:8.2f} s {theirs / ours:7.1f} x", flush=True)


if __name__ == "__main__":
    main()
