"""A second decoder for what we send: pyasn1, which shares no code with `pkix`, and `cryptography` for signatures."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from pyasn1.codec.der import decoder, encoder
from pyasn1_alt_modules import rfc5652, rfc8894

from pkix import oids
from pkix.asn1 import encode
from pkix.certificates import Certificate


def hash_of(digest: hashes.HashAlgorithm, data: bytes) -> bytes:
    """A digest's value."""
    context = hashes.Hash(digest)
    context.update(data)
    return context.finalize()


class Seen:
    """A pkiMessage as pyasn1 reads it."""

    def __init__(self, body: bytes) -> None:
        info, rest = decoder.decode(body, asn1Spec=rfc5652.ContentInfo())
        assert not rest
        assert info["contentType"] == rfc5652.id_signedData
        self.signed_data, rest = decoder.decode(info["content"], asn1Spec=rfc5652.SignedData())
        assert not rest
        (self.signer_info,) = self.signed_data["signerInfos"]
        self.attributes: dict[str, Any] = {}
        for attribute in self.signer_info["signedAttrs"]:
            assert str(attribute["attrType"]) not in self.attributes
            (value,) = attribute["attrValues"]
            self.attributes[str(attribute["attrType"])] = bytes(value)

    def value(self, oid: Any) -> bytes | None:
        """DER of an attribute's value."""
        found = self.attributes.get(str(oid))
        assert found is None or isinstance(found, bytes)
        return found

    def text(self, oid: Any) -> str | None:
        """The text of a PrintableString attribute, whose tag is checked."""
        der = self.value(oid)
        if der is None:
            return None
        assert der[0] == 0x13, f"tag {der[0]:x}"
        return der[2:].decode("ascii")

    def octets(self, oid: Any) -> bytes | None:
        """The contents of an OCTET STRING attribute, whose tag is checked."""
        der = self.value(oid)
        if der is None:
            return None
        assert der[0] == 0x04, f"tag {der[0]:x}"
        return der[2:]

    @property
    def transaction_id(self) -> str:
        return self.text(rfc8894.id_transactionID) or ""

    @property
    def message_type(self) -> str | None:
        return self.text(rfc8894.id_messageType)

    @property
    def status(self) -> str | None:
        return self.text(rfc8894.id_pkiStatus)

    @property
    def fail_info(self) -> str | None:
        return self.text(rfc8894.id_failInfo)

    @property
    def fail_info_text(self) -> str | None:
        der = self.value(rfc8894.id_scep_failInfoText)
        if der is None:
            return None
        value, rest = decoder.decode(der)
        assert not rest
        assert der[0] == 0x0C
        return str(value)

    @property
    def sender_nonce(self) -> bytes | None:
        return self.octets(rfc8894.id_senderNonce)

    @property
    def recipient_nonce(self) -> bytes | None:
        return self.octets(rfc8894.id_recipientNonce)

    @property
    def content(self) -> bytes | None:
        """eContent, None when absent."""
        inner = self.signed_data["encapContentInfo"]["eContent"]
        return bytes(inner) if inner.isValue else None

    @property
    def digest(self) -> str:
        return str(self.signer_info["digestAlgorithm"]["algorithm"])

    @property
    def enveloped(self) -> Any:
        """The EnvelopedData in eContent."""
        info, rest = decoder.decode(self.content, asn1Spec=rfc5652.ContentInfo())
        assert not rest
        assert info["contentType"] == rfc5652.id_envelopedData
        found, rest = decoder.decode(info["content"], asn1Spec=rfc5652.EnvelopedData())
        assert not rest
        return found

    @property
    def cipher(self) -> str:
        return str(self.enveloped["encryptedContentInfo"]["contentEncryptionAlgorithm"]["algorithm"])


def verify(found: Seen, signer: Certificate) -> None:
    """Check an RSA, ECDSA or Ed25519 signature over signedAttrs with `cryptography` alone."""
    certificate = x509.load_der_x509_certificate(signer.der)
    attributes = encoder.encode(found.signer_info["signedAttrs"])
    signed = b"\x31" + attributes[1:]
    digests = {"2.16.840.1.101.3.4.2.1": hashes.SHA256, "2.16.840.1.101.3.4.2.2": hashes.SHA384}
    digests |= {"2.16.840.1.101.3.4.2.3": hashes.SHA512, "1.3.14.3.2.26": hashes.SHA1}
    digest = digests[found.digest]()
    signature = bytes(found.signer_info["signature"])
    public = certificate.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, signed, padding.PKCS1v15(), digest)
    else:
        _verify_other(public, signature, signed, digest)
    claimed = found.octets(rfc5652.id_messageDigest)
    assert claimed == hash_of(digest, found.content or b"")
    assert found.value(rfc5652.id_contentType) == encode(oids.DATA)


def _verify_other(public: Any, signature: bytes, signed: bytes, digest: hashes.HashAlgorithm) -> None:
    if isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(signature, signed, ec.ECDSA(digest))
    else:
        public.verify(signature, signed)
