"""Each answer of an enrolment is lost in turn, and the client with it: the same command, given again, goes on.

The responder has processed the message whose answer is lost. While the answer is held back the client is killed with
SIGKILL, so that what it does next comes from its files alone, and nothing waits for its pauses between tries.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable

from interop.kit.bench import Bench
from interop.kit.cases import CaseFailed, Peer, check
from interop.kit.certs import read_certificate
from interop.kit.messages import describe
from interop.scep_kem.device import POLLING, Device

KEY_TYPES = ("rsa:2048", "ec:P-256", "ed25519", "ml-dsa-65", "ml-kem-768")
SECONDS = 60.0


class Loss:
    """What becomes of the answers on one line: that to PKIOperation number `which` never arrives."""

    def __init__(self, which: int) -> None:
        self._which, self._count = which, 0
        self.client_is_gone = threading.Event()
        self.ended = threading.Event()
        self.happened = False

    def __call__(self, operation: str, body: bytes) -> bytes | None:
        """The answer as it goes on, or None."""
        if operation != "PKIOperation":
            return body
        self._count += 1
        if self._count != self._which:
            return body
        self.happened = True
        self.ended.set()
        self.client_is_gone.wait(SECONDS)
        return None


def register(peer: Peer) -> None:
    """Add a case for each type of key, and one in which the responder restarts in between."""
    for key_type in KEY_TYPES:
        name = f"lost-{key_type.split(':')[0]}"
        peer.case(name, f"each answer to an {key_type} device is lost in turn: one certificate, one password used")(
            _case(key_type, restarts=False)
        )
    peer.case("restart", "the same for ml-kem-768, and the responder is restarted after each loss")(
        _case("ml-kem-768", restarts=True)
    )


def _case(key_type: str, *, restarts: bool) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        devices = []
        for which in itertools.count(1):
            name = f"{'restart' if restarts else 'lost'}-{key_type.replace(':', '-')}-{which}"
            folder = bench.folder / str(which)
            folder.mkdir()
            devices.append(Device(bench, name, key_type, folder=folder))
            if not _enrol(bench, devices[-1], which, restarts=restarts):
                break
        steps = 2 if key_type.startswith("ml-kem") else 1
        check(len(devices) == steps + 1, f"{len(devices) - 1} answers could be lost, expected: {steps}")
        _check(bench, devices)

    return run


def _enrol(bench: Bench, device: Device, which: int, *, restarts: bool) -> bool:
    """Enrol while answer `which` is lost. Returns whether there was such an answer."""
    loss = Loss(which)
    command = device.command(bench.url(change=loss), "--challenge", bench.server.challenge(), *POLLING)
    child = bench.start(*command)
    watch = threading.Thread(target=lambda: (child.process.wait(), loss.ended.set()), daemon=True)
    watch.start()
    if not loss.ended.wait(SECONDS):
        raise CaseFailed("the enrolment neither ended nor lost an answer")
    if loss.happened:
        child.kill()
        watch.join()
        bench.finish(child, ok=(-9,))
        loss.client_is_gone.set()
        check(not device.cert.exists(), "there is a certificate, although its answer was lost")
        if restarts:
            bench.ours.restart()
        bench.run(*command)
    else:
        watch.join()
        bench.finish(child)
    device.check_certificate()
    return loss.happened


def _check(bench: Bench, devices: list[Device]) -> None:
    """Each device has the one certificate that was issued to it, its password was used for that one, and it has never
    made a second request."""
    folder = str(bench.server.folder / "ca")
    listed = bench.ours.command("ca", "list", "--dir", folder).stdout.splitlines()
    passwords = bench.ours.command("challenge", "list", "--json", "--dir", folder).stdout.splitlines()
    states = {item["serial"]: item["state"] for item in map(json.loads, passwords)}
    for device in devices:
        mine = [line.split()[0] for line in listed if line.endswith(f"  CN={device.name},O=interop")]
        serial = f"{read_certificate(device.cert).serial_number:x}"
        check(mine == [serial], f"{device.name} has {serial}, issued were {mine}")
        check(states.get(serial) == "used", f"the password of {device.name} is {states.get(serial)}")
    requests = {item.message for item in bench.operations() if describe(item.message).startswith("PKCSReq")}
    check(len(requests) == len(devices), f"{len(devices)} devices have made {len(requests)} requests")
