"""`verify --explain`: which signatures counted, and why others did not."""

from __future__ import annotations

from typing import Any


def explain(report: dict[str, Any]) -> str:
    """A report of the library as lines for people."""
    words = {"verified": "verified", "refused": "not verified", "unknown": "unknown: not everything could be read"}
    lines = [f"{report['reference']}: {words.get(report['verdict'], report['verdict'])}"]
    lines.append(f"  {len(report['signers'])} of {report['threshold']} needed signers")
    for signature in report["signatures"]:
        lines += _signature(signature)
    if not report["signatures"]:
        lines.append("  no signature was found" + (" in what could be read" if report["unread"] else ""))
    lines += [f"  could not be read: {unread['place']}: {unread['message']}" for unread in report["unread"]]
    lines += [f"  note: {text}" for text in report.get("notes", [])]
    lines += [f"  switched off: {text}" for text in report["insecure"]]
    return "\n".join(lines) + "\n"


def _signature(signature: dict[str, Any]) -> list[str]:
    verdict = {"verified": "counts", "refused": "does not count", "unknown": "could not be read"}[signature["verdict"]]
    lines = [f"  {signature['format']} signature {signature['index']} at {signature['place']}: {verdict}"]
    if "key" in signature:
        lines.append(f"    key sha256:{signature['key']}")
    for check in signature["checks"]:
        reason = f": {check['reason']}" if check.get("reason") else ""
        lines.append(f"    {check['result']:7} {check['name']}{reason}")
    return lines
