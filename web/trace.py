"""Messages in words: what went over the wire, for people who compare their client with this one."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.certificates import Certificate
from pkix.enveloped_data import describe
from pkix.errors import PkixError
from scep.attributes import MessageType, PkiStatus
from scep.messages import PkiMessage


def describe_message(body: bytes, known: list[Certificate]) -> list[str]:
    """Lines about a pkiMessage: type, attributes, signer, envelope. known: certificates to find the signer in."""
    try:
        message = PkiMessage.decode(body)
        return [
            f"{message.message_type.name}, {len(body)} octets",
            *_attributes(message),
            *_signature(message, known),
            *_envelope(message),
        ]
    except PkixError as error:
        return [f"{len(body)} octets that are not a readable pkiMessage: {error}"]


def _attributes(message: PkiMessage) -> list[str]:
    lines = [f"transactionID  {message.transaction_id}"]
    if message.message_type is MessageType.CertRep:
        status = message.pki_status
        text = status.name
        if status is PkiStatus.FAILURE:
            text += f", failInfo {message.fail_info.name}"
            if message.fail_info_text:
                text += f": {message.fail_info_text}"
        lines.append(f"pkiStatus      {text}")
    for name, nonce in (("senderNonce", message.sender_nonce), ("recipientNonce", message.recipient_nonce)):
        if nonce is not None:
            lines.append(f"{name:<14} {nonce.hex()}")
    if message.signing_time is not None:
        lines.append(f"signingTime    {message.signing_time:%Y-%m-%d %H:%M:%S} UTC")
    return lines


def _signature(message: PkiMessage, known: list[Certificate]) -> list[str]:
    signer = message.signed.signer_certificate(known)
    info = message.signed.signer
    assert info is not None
    try:
        message.verify(AlgorithmPolicy(legacy=True), known)
        verdict = "verified"
    except PkixError as error:
        verdict = str(error)
    subject = x509.load_der_x509_certificate(signer.der).subject.rfc4514_string()
    digest = oids.label(info.digest_algorithm.algorithm)
    return [f"signed by      {subject}, {_key(signer)}, {digest}: {verdict}"]


def _envelope(message: PkiMessage) -> list[str]:
    if not message.signed.content:
        return ["no pkcsPKIEnvelope"]
    return [f"pkcsPKIEnvelope {len(message.signed.content)} octets: {describe(message.signed.content)}"]


def _key(certificate: Certificate) -> str:
    key = certificate.public_key
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    return type(key).__name__.removesuffix("PublicKey")


def describe_certificate(certificate: x509.Certificate) -> list[str]:
    """Lines about a certificate: names, serial, validity, key, usages."""
    lines = [
        f"subject        {certificate.subject.rfc4514_string()}",
        f"issuer         {certificate.issuer.rfc4514_string()}",
        f"serial         {certificate.serial_number:x}",
        f"valid          {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} to "
        f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
        f"key            {_key(Certificate.of(certificate))}",
    ]
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            lines.append(f"names          {', '.join(str(name.value) for name in extension.value)}")
        if isinstance(extension.value, x509.ExtendedKeyUsage):
            lines.append(f"usages         {', '.join(usage._name for usage in extension.value)}")
    return lines
