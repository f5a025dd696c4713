"""`version`."""

from __future__ import annotations

import sys

import cosign

from ._flags import Parser, no_arguments


def version(arguments: list[str]) -> int:
    parser = Parser("version", "[FLAGS]", "Print the version.")
    parser.switch("--json", help="print it as JSON")
    options = parser.read(arguments)
    no_arguments(options.images)
    python = ".".join(map(str, sys.version_info[:3]))
    if options.json:
        import json

        print(json.dumps({"libcosign": cosign.__version__, "python": python, "platform": sys.platform}))
    else:
        print(f"cosign (libcosign) {cosign.__version__}, Python {python}, {sys.platform}")
    return 0
