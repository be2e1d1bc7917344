"""GetCACaps (RFC 8894 section 3.5): the keywords, as a server says them and as a client reads them.

Nothing is advertised that is not also enforced or done. SHA-384 is not one of the RFC's keywords, but true, allowed
by section 3.5.2, and needed: strongSwan 5.9.8 tests the wrong bits of what it read, takes SHA-384 for SCEPStandard,
and without it says that the CA knows no SHA-256 and no Renewal.
"""

from __future__ import annotations

from dataclasses import dataclass

STANDARD = ("GetNextCACert", "POSTPKIOperation", "SHA-256", "SHA-384", "SHA-512")
# AES-CBC in EnvelopedData, which SCEPStandard implies
CBC = ("AES", "SCEPStandard")
RENEWAL = "Renewal"
DES3, SHA_1 = "DES3", "SHA-1"
# The update's keywords, beside ML-KEM-512, ML-KEM-768 and ML-KEM-1024
KEM_POP = "KEM-PoP"
AES_GCM = "AES-GCM"
RESPONSE_KEY = "ResponseKey"
ML_DSA = "ML-DSA"


def encode_capabilities(
    *,
    renewal: bool,
    legacy: bool,
    aes_cbc: bool = True,
    aes_gcm: bool = False,
    ml_dsa: bool = False,
    kem: tuple[str, ...] = (),
    kem_pop: bool = False,
    response_key: bool = False,
) -> bytes:
    """The body of a GetCACaps answer: one keyword a line, LF, in the exact case of table 7.

    kem: names of parameter sets that the CA decrypts and certifies, such as "ML-KEM-768". kem_pop: whether every new
    request for an ML-KEM key is challenged, whatever the CA decrypts with.
    """
    keywords = sorted([*STANDARD, *(CBC if aes_cbc else ())])
    keywords += [word for word, on in ((RENEWAL, renewal), (DES3, legacy and aes_cbc), (SHA_1, legacy)) if on]
    keywords += kem
    keywords += [
        word
        for word, on in ((KEM_POP, kem_pop), (AES_GCM, aes_gcm), (RESPONSE_KEY, response_key), (ML_DSA, ml_dsa))
        if on
    ]
    return "".join(f"{keyword}\n" for keyword in keywords).encode("ascii")


@dataclass(frozen=True)
class Capabilities:
    """What a server says it can. keywords: in lower case, unknown ones among them."""

    keywords: frozenset[str] = frozenset()

    @classmethod
    def decode(cls, body: bytes) -> Capabilities:
        """Read a body with LF or CRLF, in any case, with unknown keywords (RFC 8894 section 3.5.2)."""
        return cls(frozenset(word.lower() for word in keywords(body)))

    def has(self, keyword: str) -> bool:
        """Whether a keyword is there; SCEPStandard implies AES, POSTPKIOperation and SHA-256."""
        implied = "scepstandard" in self.keywords and keyword in ("AES", "POSTPKIOperation", "SHA-256")
        return implied or keyword.lower() in self.keywords


# Table 7 of RFC 8894, and the update's.
_KNOWN = (
    *STANDARD,
    *CBC,
    *(RENEWAL, DES3, SHA_1),
    *(KEM_POP, AES_GCM, RESPONSE_KEY, ML_DSA, "ML-KEM-512", "ML-KEM-768", "ML-KEM-1024"),
)


def keywords(body: bytes) -> list[str]:
    """The keywords of a body as they came: in their order and case, and without the white space around them."""
    return [line.strip() for line in body.decode("utf-8", "replace").splitlines() if line.strip()]


def remarks(body: bytes) -> list[str]:
    """What is odd about the keywords of a body: other clients compare octets (RFC 8894 section 3.5.2)."""
    found = []
    for word in keywords(body):
        known = next((item for item in _KNOWN if item.lower() == word.lower()), None)
        begun = max((item for item in _KNOWN if word.lower().startswith(item.lower())), key=len, default=None)
        if known is not None and known != word:
            found.append(f"{word} is written {known} (RFC 8894 section 3.5.2)")
        elif known is None and begun is not None and not word[len(begun)].isalnum() and word[len(begun)] != "-":
            found.append(f"{word} is no keyword, {begun} is (RFC 8894 section 3.5.2: one a line, nothing behind it)")
        elif known is None and not word.isascii():
            found.append(f"{word} is not ASCII")
    return found
