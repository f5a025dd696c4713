"""A public key over the network, only where the reference says so: `https://`, or plain `http://` on this machine."""

from __future__ import annotations

import time
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, TYPE_CHECKING

from . import Refusal, UsageError

if TYPE_CHECKING:
    from http.client import HTTPMessage

MAX_KEY = 64 << 10
"""A public key has less than a kilobyte."""
SECONDS = 30.0
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def fetch(url: str, timeout: float | None = None) -> bytes:
    """What `url` answers: at most 64 KiB, within the time of the command and half a minute at most."""
    _check(url, url)
    deadline = time.monotonic() + min(timeout or SECONDS, SECONDS)
    handlers: list[urllib.request.BaseHandler] = [_Redirects()]
    if urllib.parse.urlsplit(url).hostname in LOOPBACK:
        # What is on this machine is never asked for through a proxy.
        handlers.append(urllib.request.ProxyHandler({}))
    content = b""
    try:
        with urllib.request.build_opener(*handlers).open(url, timeout=_left(deadline, url)) as answer:
            while piece := answer.read1(MAX_KEY + 1 - len(content)):
                content += piece
                if len(content) > MAX_KEY:
                    raise Refusal(f"--key={_shown(url)}: more than {MAX_KEY} bytes are no public key")
                _left(deadline, url)
    except (OSError, ValueError) as error:
        # Neither query nor user of the URL may reach a log.
        reason = getattr(error, "reason", None) or getattr(error, "code", None) or type(error).__name__
        raise Refusal(f"--key={_shown(url)}: the key could not be fetched: {reason}") from None
    return content


def _left(deadline: float, url: str) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise Refusal(f"--key={_shown(url)}: the key could not be fetched in time")
    # One silent read may take this long.
    return min(left, 10.0)


def _shown(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{parts.path}"


def _check(url: str, asked: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if not parts.hostname or "@" in parts.netloc:
        raise UsageError(f"--key={_shown(asked)}: expected https://HOST/PATH without user name and password")
    if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in LOOPBACK):
        raise UsageError(f"--key={_shown(asked)}: everybody on the way could change a key over plain http; use https")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Redirects under the same rules; urllib follows ten at most."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        _check(newurl, req.full_url)
        if urllib.parse.urlsplit(req.full_url).scheme == "https" and not newurl.startswith("https://"):
            raise UsageError(f"--key={_shown(req.full_url)}: it leads from https to plain http")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
