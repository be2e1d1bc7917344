"""Splitting a recorded byte stream into HTTP/1.x messages, after the fact and for display only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HttpMessage:
    """start: offset in the stream. headers: names in lower case. body: with the chunked coding removed."""

    start: int
    start_line: str
    headers: dict[str, str]
    body: bytes


def take_messages(stream: bytes, *, closed: bool) -> list[HttpMessage]:
    """All complete messages; interim answers (100 Continue) are left out.

    closed: the stream has ended, so an answer without a length is complete.
    """
    messages: list[HttpMessage] = []
    at = 0
    while True:
        head_end = stream.find(b"\r\n\r\n", at)
        if head_end < 0:
            return messages
        start_line, headers = _head(stream[at:head_end])
        is_answer = start_line.startswith("HTTP/")
        taken = _body(stream, head_end + 4, headers, to_the_end=is_answer and closed, has_default=not is_answer)
        if is_answer and " 1" in start_line[:10]:
            at = head_end + 4
            continue
        if taken is None:
            return messages
        body, end = taken
        messages.append(HttpMessage(at, start_line, headers, body))
        at = end


def _head(data: bytes) -> tuple[str, dict[str, str]]:
    first, *rest = data.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in rest)
    return first, {name.strip().lower(): value.strip() for name, _, value in pairs}


def _body(
    stream: bytes, at: int, headers: dict[str, str], *, to_the_end: bool, has_default: bool
) -> tuple[bytes, int] | None:
    """The body and the offset behind it, or None while it is incomplete."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _chunked(stream, at)
    if "content-length" in headers:
        end = at + int(headers["content-length"])
        return (stream[at:end], end) if len(stream) >= end else None
    if has_default:
        return b"", at
    return (stream[at:], len(stream)) if to_the_end else None


def _chunked(stream: bytes, at: int) -> tuple[bytes, int] | None:
    body = b""
    while True:
        line_end = stream.find(b"\r\n", at)
        if line_end < 0:
            return None
        size = int(stream[at:line_end].split(b";")[0], 16)
        at = line_end + 2
        if len(stream) < at + size + 2:
            return None
        body += stream[at : at + size]
        at += size + 2
        if size == 0:
            return body, at
