"""Messages in words: what went over the wire, for people who compare their client with this one."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kem.errors import KemError
from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import decode
from pkix.certificates import Certificate, load_certificate
from pkix.enveloped_data import describe
from pkix.errors import Malformed, PkixError
from pkix.names import name_text
from scep.attributes import KEM_POP_CHALLENGE, KEM_POP_CONFIRM, MessageType, PkiStatus
from scep.client import Proof
from scep.kem_pop import Challenge, ScepKemContext, decode_confirm
from scep.messages import PKI_ENVELOPE, PkiMessage
from scep_kem.terminal import printable


def describe_message(body: bytes, known: list[Certificate]) -> list[str]:
    """Lines about a pkiMessage: type, attributes, signer, envelope. known: certificates to find the signer in."""
    try:
        message = PkiMessage.decode(body)
        lines = [
            f"{message.message_type.name}, {len(body)} octets",
            *_attributes(message),
            *_challenge(message),
            *_signature(message, known),
            *_envelope(message),
        ]
    except (PkixError, KemError) as error:
        lines = [f"{len(body)} octets that are not a readable pkiMessage: {error}"]
    return [printable(line) for line in lines]


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
    digest = oids.label(info.digest_algorithm.algorithm)
    return [f"signed by      {_subject(signer)}, {_key(signer)}, {digest}: {verdict}"]


def _subject(certificate: Certificate) -> str:
    """The name of a certificate that nobody has looked at yet; those of old CAs may be unreadable."""
    try:
        return name_text(load_certificate(certificate.der).subject)
    except Malformed as error:
        return f"({error})"


def _envelope(message: PkiMessage) -> list[str]:
    if not message.signed.content:
        return ["no pkcsPKIEnvelope"]
    said = describe(message.signed.content, expected=PKI_ENVELOPE)
    return [f"pkcsPKIEnvelope {len(message.signed.content)} octets: {said}"]


def _key(certificate: Certificate) -> str:
    if certificate.key_algorithm == oids.RSA_ENCRYPTION and isinstance(certificate.public_key, rsa.RSAPublicKey):
        return f"RSA {certificate.public_key.key_size}"
    if certificate.key_algorithm == oids.EC_PUBLIC_KEY and isinstance(
        certificate.public_key, ec.EllipticCurvePublicKey
    ):
        return f"EC {certificate.public_key.curve.name}"
    return oids.label(certificate.key_algorithm)


def _challenge(message: PkiMessage) -> list[str]:
    """The update's attributes: challenge and confirmation."""
    lines = []
    attribute = message.attribute(KEM_POP_CHALLENGE)
    if attribute is not None:
        challenge = Challenge.decode(attribute)
        for item in challenge.ciphertexts:
            digest = challenge.parameters.kdf.digest(item.octets).hex()
            lines.append(f"kemPopChallenge {item.parameter_set} ciphertext, {len(item.octets)} octets, H {digest}")
            lines.append(f"                {item.octets[:24].hex()}...")
        lines.append(f"                {challenge.parameters}; until {challenge.expires:%H:%M:%S} UTC")
    attribute = message.attribute(KEM_POP_CONFIRM)
    if attribute is not None:
        confirm = decode_confirm(attribute)
        lines.append(f"kemPopConfirm  mac {confirm.mac.hex()}")
        if confirm.caps_hash is not None:
            lines.append(f"               capsHash {confirm.caps_hash.hex()}")
    return lines


def describe_proof(proof: Proof) -> list[str]:
    """Lines about how the client answered a challenge. Nothing secret is shown."""
    parameters = proof.challenge.parameters
    context = decode(ScepKemContext, proof.context, "ScepKemContext")
    return [
        "proof of possession, computed by the client",
        "    ss             = ML-KEM.Decaps(own key, ciphertext), for each ciphertext; never shown, never sent",
        f"    ScepKemContext = {len(proof.context)} octets, from the client's own copies:",
        f"        clientNonce      {context.client_nonce.hex()}   senderNonce of the request",
        f"        caNonce          {context.ca_nonce.hex()}   senderNonce of the challenge",
        f"        requestHash      {context.request_hash.hex()}   H(request message)",
        f"        csrHash          {context.csr_hash.hex()}   H(PKCS #10)",
        f"        caSignerHash     {context.ca_signer_hash.hex()}   H(certificate that signed the challenge)",
        *(f"        ciphertextHashes {digest.hex()}" for digest in context.ciphertext_hashes),
        f"    derived key    = {parameters.kdf.name}(ss, {parameters.length} octets, "
        'info = KemOtherInfo {"SCEP-KEM", transactionID, context})',
        f"                     its H begins {proof.derived_key_hash[:8].hex()}; the CA's log shows the same",
        f"    mac            = {parameters.mac.name}(derived key, KemPopMacInput of {len(proof.mac_input)} octets: "
        "label, H(challenge message), capsHash)",
        f"                   = {proof.mac.hex()}",
    ]


def describe_certificate(certificate: x509.Certificate) -> list[str]:
    """Lines about a certificate: names, serial, validity, key, usages."""
    lines = [
        f"subject        {name_text(certificate.subject)}",
        f"issuer         {name_text(certificate.issuer)}",
        f"serial         {certificate.serial_number:x}",
        f"valid          {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} to "
        f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
        f"key            {_key(Certificate.of(certificate))}",
    ]
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            lines.append(f"names          {', '.join(str(name.value) for name in extension.value)}")
        if isinstance(extension.value, x509.ExtendedKeyUsage):
            lines.append(f"usages         {', '.join(map(_usage, extension.value))}")
    return [printable(line) for line in lines]


def _usage(usage: x509.ObjectIdentifier) -> str:
    return usage.dotted_string if usage._name == "Unknown OID" else usage._name
