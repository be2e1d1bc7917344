"""A call to the webhook that nobody waits for any more: what its thread still does (`scep_kem.server.webhook`)."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from scep_kem import files
from scep_kem.server import webhook
from scep_kem.webhook_config import WebhookConfig
from tests.scep_kem.kit import LAST_RESORT, Peer, ca_pair

QUESTION = b"a question with its challengePassword"


def call(url: str) -> webhook._Call:
    """Not begun; its slot is taken."""
    assert webhook._calls.acquire(blocking=False)
    return webhook._Call(WebhookConfig(url, timeout=LAST_RESORT))


def test_a_question_is_not_asked_any_more_once_nobody_waits() -> None:
    """A handshake may take as long as the call may: then there is nobody whom the answer could help."""
    with Peer((200, b'{"decision": "approve"}')) as peer:
        late = call(peer.url)
        late._give_up()
        late.run(QUESTION)
    assert peer.received == []
    assert isinstance(late._done.get_nowait(), TimeoutError)


def test_what_is_sent_at_the_moment_of_giving_up_is_sent_in_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's SSLSocket.shutdown forgets the TLS before it ends the connection: a thread that sends between the two
    sends in clear. Here one does: at the moment in which the connection is about to end.
    """
    ours, theirs = socket.socketpair()
    arrived: list[bytes] = []

    def serve() -> None:
        """What comes after the handshake, as it comes over the wire."""
        with server_context(tmp_path).wrap_socket(theirs, server_side=True) as peer:
            while octets := socket.socket.recv(peer, 65536):
                arrived.append(octets)

    server = threading.Thread(target=serve)
    server.start()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    given_up = call("https://decide.example/")
    with context.wrap_socket(ours) as connection:
        given_up._peer = connection
        end = socket.socket.shutdown

        def sent_just_before(peer: socket.socket, how: int) -> None:
            peer.sendall(QUESTION)
            end(peer, how)

        with monkeypatch.context() as patch:
            patch.setattr(socket.socket, "shutdown", sent_just_before)
            given_up._give_up()
        server.join(LAST_RESORT)
    webhook._calls.release()
    assert not server.is_alive()
    seen = b"".join(arrived)
    assert len(seen) > len(QUESTION) and QUESTION not in seen


def server_context(folder: Path) -> ssl.SSLContext:
    """Of a server whose certificate nobody looks at."""
    pair = ca_pair("ec:P-256")
    files.write(folder / "cert.pem", files.pem(pair.certificate))
    files.write_key(folder / "key.pem", pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context
