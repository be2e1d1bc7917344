"""Checking answers, after the timed part: nothing but a correct certificate for its request counts.

The checks are those of our client (`scep.client`), with the bench's own eye on key, subject and issuer. micromdm's
server answers requests in AES and SHA-256 with single DES and SHA-1, which our client refuses as RFC 8894 section
2.9 demands; so its answers are verified under the legacy policy, and decrypted here.
"""

from __future__ import annotations

import http.client
import io
from typing import Annotated

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from interop.bench.material import Authority, Client, Request, utc_now
from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import TLV, Implicit, Oid, decode, elements, parameters_der, parse, sequence
from pkix.ber import to_der
from pkix.certificates import Certificate
from pkix.content_info import ContentInfo
from pkix.enveloped_data import EncryptedContentInfo, decrypt
from pkix.errors import PkixError
from pkix.identities import RsaIdentity
from pkix.signed_data import SignedData
from scep.attributes import MessageType, PkiStatus
from scep.messages import PkiMessage

DES_CBC = Oid("1.3.14.3.2.7")
_DES_LENGTH = 8


class Wrong(Exception):
    """The answer is not a correct certificate for the request; the text says how it shows."""


@sequence
class _EnvelopedData:
    """RFC 5652 section 6.1, as far as micromdm uses it."""

    version: int
    recipient_infos: TLV
    encrypted_content_info: EncryptedContentInfo
    unprotected_attrs: Annotated[list[TLV] | None, Implicit(1)]


class Checker:
    """Checks the answers of one server. legacy: it may use SHA-1 and DES."""

    def __init__(self, authority: Authority, client: Client, *, legacy: bool) -> None:
        self._authority = authority
        self._client = client
        self._legacy = legacy
        self._policy = AlgorithmPolicy(legacy=legacy)

    def serial(self, answer: bytes, request: Request) -> int:
        """The serial number of the certificate in a correct answer. Raises Wrong."""
        try:
            content = self._open(PkiMessage.decode(body_of(answer)), request)
            certificate = self._certificate(SignedData.decode(content))
        except (PkixError, ValueError) as error:
            raise Wrong(str(error)) from error
        self._check_certificate(certificate, request)
        return certificate.serial_number

    def _open(self, message: PkiMessage, request: Request) -> bytes:
        """messageData of a verified CertRep SUCCESS."""
        signer = message.verify(self._policy, [self._authority.view])
        _expect(signer.der == self._authority.view.der, "not signed by the CA")
        _expect(message.message_type is MessageType.CertRep, "not a CertRep")
        _expect(message.transaction_id == request.transaction_id, "another transactionID")
        _expect(message.recipient_nonce == request.sender_nonce, "recipientNonce is not our senderNonce")
        if message.pki_status is not PkiStatus.SUCCESS:
            info = message.fail_info.name if message.pki_status is PkiStatus.FAILURE else ""
            raise Wrong(f"CertRep {message.pki_status.name} {info} {message.fail_info_text or ''}".strip())
        envelope = message.signed.content
        if envelope is None:
            raise Wrong("no pkcsPKIEnvelope")
        identity = RsaIdentity(request.signer, self._client.key)
        if self._legacy:
            return open_des(envelope, identity)
        return decrypt(envelope, [identity], self._policy).content

    def _certificate(self, inner: SignedData) -> x509.Certificate:
        for der in inner.certificates:
            if Certificate.decode(der).spki == self._client.spki:
                return x509.load_der_x509_certificate(der)
        raise Wrong("no certificate for the requested key")

    def _check_certificate(self, certificate: x509.Certificate, request: Request) -> None:
        # By value: Go's library turns a UTF8String into a PrintableString.
        _expect(certificate.subject == request.subject, "another subject")
        try:
            certificate.verify_directly_issued_by(self._authority.certificate)
        except (ValueError, TypeError, InvalidSignature):
            raise Wrong("the certificate is not signed by the CA") from None
        now = utc_now()
        _expect(certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc, "not valid now")


def open_des(envelope: bytes, identity: RsaIdentity) -> bytes:
    """The content of a ContentInfo with EnvelopedData in DES-CBC or AES-CBC for one RSA recipient.

    Single DES is 3DES with the same key three times. The Go library puts the content in a constructed [0], in definite
    lengths otherwise: BER that shows only deep inside. Raises Wrong and the errors of `pkix.errors`.
    """
    outer = decode(ContentInfo, to_der(envelope), "pkcsPKIEnvelope")
    _expect(outer.content_type == oids.ENVELOPED_DATA, "pkcsPKIEnvelope is not EnvelopedData")
    enveloped = parse(outer.content, _EnvelopedData, "EnvelopedData")
    content = enveloped.encrypted_content_info
    scheme = content.content_encryption_algorithm
    if scheme.algorithm != DES_CBC:
        return decrypt(envelope, [identity], AlgorithmPolicy(legacy=True)).content
    recipient = elements(enveloped.recipient_infos)[0]
    _expect(identity.recognises(recipient), "the envelope is for somebody else")
    key, iv = identity.unwrap(recipient), decode(bytes, parameters_der(scheme) or b"", "DES IV")
    _expect(len(key) == _DES_LENGTH and len(iv) == _DES_LENGTH, "DES key or IV not of 8 octets")
    decryptor = Cipher(TripleDES(key * 3), modes.CBC(iv)).decryptor()
    padded = decryptor.update(content.encrypted_content or b"") + decryptor.finalize()
    count = padded[-1] if padded else 0
    _expect(1 <= count <= _DES_LENGTH and padded.endswith(bytes((count,)) * count), "the padding is wrong")
    return padded[:-count]


def body_of(answer: bytes) -> bytes:
    """The body of an HTTP response, which may be chunked. Raises Wrong."""
    if not answer:
        raise Wrong("no answer")
    response = http.client.HTTPResponse(_Received(answer))  # type: ignore[arg-type]
    try:
        response.begin()
        body = response.read()
    except http.client.HTTPException as error:
        raise Wrong(f"not an HTTP response: {error!r}") from error
    if response.status != http.client.OK:
        raise Wrong(f"HTTP {response.status}: {body[:80].decode('utf-8', 'replace').strip()}")
    return body


class _Received:
    """As much of a socket as http.client reads from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _expect(condition: bool, text: str) -> None:
    if not condition:
        raise Wrong(text)
