"""In how many places two cases differ, not counting what follows from another difference.

A message that was signed anew has another signature; another content has another messageDigest. What is left has to be
one place in one block or header. Some things take several blocks to say: a certificate, a policy, what came earlier.
"""

from __future__ import annotations

from collections import Counter

from drafts.tools.testkit.der import Node
from drafts.vectors.runner import EXPECTED, Case
from pkix import oids
from pkix.asn1 import encode

ABOUT = frozenset({"name", "description", "defect", "requirement", "twin", "expect", "text", "also"})
MESSAGES = ("message", "reply")
CERTIFICATES_TAG = 0xA0
DIGEST, CONTENT_TYPE = (encode(oid).hex() for oid in (oids.MESSAGE_DIGEST, oids.CONTENT_TYPE))
TOGETHER = {
    "earlier": "what came earlier",
    "earlier-time": "what came earlier",
    "earlier-answer": "what came earlier",
    "shared-secret": "what came earlier",
    "encapsulation-randomness": "what came earlier",
    "policy": "policy",
    "ca-caps": "policy",
    "fingerprint": "the CA certificate",
}


def places(case: Case, twin: Case) -> set[str]:
    """Names of the places."""
    found = {
        name for name in {*case.headers, *twin.headers} - ABOUT if case.headers.get(name) != twin.headers.get(name)
    }
    blocks = {name for name in {*case.blocks, *twin.blocks} if case.blocks.get(name) != twin.blocks.get(name)}
    found |= blocks - {*MESSAGES}
    for name in blocks & {*MESSAGES}:
        found |= {f"{name}: {place}" for place in _in_message(case.block(name), twin.block(name))}
    found = {TOGETHER.get(name, name) for name in found if not name.startswith(EXPECTED)}
    return _one_certificate(found)


def _one_certificate(found: set[str]) -> set[str]:
    """One certificate can be on record, in the client's hands or in GetCACert, and in the message at a time."""
    if "the CA certificate" in found:
        return found - {"ca-cert"}
    if found & {"issued", "ca-cert"}:
        return found - {"client-certificate", "message: certificates", "reply: certificates", "reply: signer"}
    return found


def _in_message(one: bytes, other: bytes) -> set[str]:
    if not one or not other:
        return {"octets"}
    try:
        first, second = Node.parse(one), Node.parse(other)
    except (ValueError, IndexError):
        return {"octets"}
    return _in_signed_data(first[1][0], second[1][0])


def _in_signed_data(one: Node, other: Node) -> set[str]:
    found: set[str] = set()
    if one[2].der() != other[2].der():
        found.add("content")
    certificates = [item[3].der() if item[3].tag == CERTIFICATES_TAG else b"" for item in (one, other)]
    if len(one[-1]) != len(other[-1]):
        return {"SignerInfos"}
    if len(one[-1][0]) != len(other[-1][0]):
        return {"SignerInfo"}
    found |= _in_signer_info(one[-1][0], other[-1][0])
    if certificates[0] != certificates[1] and "signer" not in found:
        found.add("certificates")
    return _without_consequences(found)


def _in_signer_info(one: Node, other: Node) -> set[str]:
    """SignerInfo: version, sid, digestAlgorithm, signedAttrs, signatureAlgorithm, signature."""
    found = set()
    if one[1].der() != other[1].der():
        found.add("signer")
    if (one[2].der(), one[4].der()) != (other[2].der(), other[4].der()):
        found.add("algorithms")
    first, second = ([item.der() for item in each[3]] for each in (one, other))
    kinds = {item.der(): item[0].der().hex() for each in (one, other) for item in each[3]}
    changed = (Counter(first) - Counter(second)) + (Counter(second) - Counter(first))
    found |= {kinds[item] for item in changed}
    if not changed and first != second:
        found.add("order of attributes")
    if one[5].der() != other[5].der():
        found.add("signature")
    return found


def _without_consequences(found: set[str]) -> set[str]:
    if found & {"content", "algorithms"}:
        found = found - {DIGEST}
    if "content" in found:
        found = found - {CONTENT_TYPE}
    if "signer" in found:
        found = found - {"algorithms"}
    return found - {"signature"} or found
