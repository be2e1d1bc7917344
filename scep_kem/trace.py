"""Messages in words: what went over the wire, for people who compare their client with this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cryptography import x509

from kem.errors import KemError
from pkix import oids
from pkix.algorithms import DIAGNOSIS
from pkix.asn1 import Oid, decode
from pkix.certificates import Certificate, extensions_of, is_self_issued, load_certificate
from pkix.enveloped_data import describe
from pkix.errors import Malformed, PkixError
from pkix.general_names import rendered
from pkix.names import name_text
from pkix.purposes import purpose_name
from pkix.signed_data import SignedData
from pkix.usages import bits_of, certified_key_type, is_ca, is_cmc_ra, is_request_agent
from scep import attributes
from scep.attributes import KEM_POP_CHALLENGE, KEM_POP_CONFIRM, MessageType, PkiStatus, UndefinedFailInfo
from scep.client import Proof
from scep.kem_pop import SHOWN_OF_CSR_HASH, Challenge, ScepKemContext, decode_confirm
from scep.messages import PKI_ENVELOPE, PkiMessage, read_envelope
from scep_kem.terminal import printable


def describe_message(body: bytes, known: Sequence[Certificate]) -> list[str]:
    """Lines about a pkiMessage: type, attributes, certificates, signer, envelope. known: certificates of GetCACert, in
    which the signer is looked for, too.
    """
    try:
        message, fault = _read(body)
    except PkixError as error:
        return [printable(f"{len(body)} octets that are not a readable pkiMessage: {error.fact}")]
    lines = [
        f"{value_or_odd(lambda: message.message_type.name)}, {len(body)} octets",
        f"transactionID  {fault or message.transaction_id}",
        *part("attributes", lambda: _attributes(message)),
        *part("kemPopChallenge", lambda: _challenge(message)),
        *part("kemPopConfirm", lambda: _confirmation(message)),
        *_certificates(message, known),
        *part("signed by", lambda: _signature(message, known)),
        *part("pkcsPKIEnvelope", lambda: _envelope(message)),
    ]
    return [printable(line) for line in lines]


def _read(body: bytes) -> tuple[PkiMessage, str]:
    """The message, and what is wrong with its transactionID, without which nobody answers it. Raises Malformed."""
    try:
        return PkiMessage.decode(body, advise=False), ""
    except Malformed as error:
        try:
            signed = SignedData.decode(body, names=attributes.SIGNED_ATTRIBUTE_NAMES)
        except Malformed:
            signed = None
        if signed is None or signed.signer is None:
            raise
        return PkiMessage(signed, ""), f"ODD: {error.fact}"


def part(name: str, read: Callable[[], list[str]]) -> list[str]:
    """Lines about one part of a message. One that cannot be read is marked as odd, and does not hide the others."""
    try:
        return read()
    except (PkixError, KemError) as error:
        return [f"{name:<14} ODD: {error.fact}"]


def value_or_odd(read: Callable[[], str]) -> str:
    """As `_part`, for one value in a line."""
    try:
        return read()
    except PkixError as error:
        return f"ODD: {error.fact}"


_SHOWN = {
    *(oids.CONTENT_TYPE, oids.MESSAGE_DIGEST, oids.SIGNING_TIME),
    *(attributes.MESSAGE_TYPE, attributes.PKI_STATUS, attributes.FAIL_INFO, attributes.FAIL_INFO_TEXT),
    *(attributes.SENDER_NONCE, attributes.RECIPIENT_NONCE, attributes.TRANSACTION_ID),
    *(KEM_POP_CHALLENGE, KEM_POP_CONFIRM),
}
_ONLY_CERT_REP = "ODD, only a CertRep has it: "
_ONLY_FAILURE = "ODD, only a FAILURE has it: "


def _ending(oid: Oid) -> tuple[str, ...]:
    return tuple(oid.dotted_string.split(".")[-2:])


_BY_ENDING = {_ending(oid): (name, oid) for oid, name in attributes.SIGNED_ATTRIBUTE_NAMES.items()}


def _attributes(message: PkiMessage) -> list[str]:
    """One line each, of all that are there and of those that should be. What only some messages have is shown of others
    as odd. Raises Malformed if they cannot be told from each other.
    """
    present = message.signed.attributes
    there = {*present, *present.odd}
    kind = value_or_odd(lambda: message.message_type.name)
    is_reply = kind == MessageType.CertRep.name
    misplaced = _ONLY_CERT_REP if kind in MessageType.__members__ and not is_reply else ""

    def time() -> list[str]:
        found = message.signing_time
        return [] if found is None else [f"signingTime    {found:%Y-%m-%d %H:%M:%S} UTC"]

    lines = []
    if is_reply or attributes.PKI_STATUS in there:
        lines.append(f"pkiStatus      {misplaced}{value_or_odd(lambda: _status(message))}")
    if value_or_odd(lambda: message.pki_status.name) != PkiStatus.FAILURE.name:
        if attributes.FAIL_INFO in there:
            lines.append(f"failInfo       {_ONLY_FAILURE}{value_or_odd(lambda: _fail_info(message))}")
        if attributes.FAIL_INFO_TEXT in there:
            lines.append(f"failInfoText   {_ONLY_FAILURE}{value_or_odd(lambda: message.fail_info_text or '')}")
    lines.append(f"senderNonce    {value_or_odd(lambda: _nonce(message.sender_nonce))}")
    if is_reply or attributes.RECIPIENT_NONCE in there:
        lines.append(f"recipientNonce {misplaced}{value_or_odd(lambda: _nonce(message.recipient_nonce))}")
    lines += _repeated(message)
    lines += part("signingTime", time)
    lines += [f"{'attribute':<14} {_other(message, oid)}" for oid in (*present, *present.odd) if oid not in _SHOWN]
    return lines


def _nonce(octets: bytes | None) -> str:
    if octets is None:
        return "ODD: there is none"
    length, right = len(octets), attributes.NONCE_LENGTH
    return octets.hex() if length == right else f"ODD, {length} octets, not {right}: {octets.hex()}"


def _other(message: PkiMessage, oid: Oid) -> str:
    """An attribute that is none of ours, and which may be meant: one with the same end under another arc."""
    name, ours = _BY_ENDING.get(_ending(oid), ("", oid))
    meant = f" (is {name}, {ours.dotted_string}, meant?)" if name else ""
    value = value_or_odd(lambda: (message.attribute(oid) or b"").hex()[:64])
    return f"ODD, unknown: {oids.name(oid)}{meant}, {value}"


def _repeated(message: PkiMessage) -> list[str]:
    """Whoever answers has to make a nonce, too (RFC 8894 section 3.2.1.5); some repeat the one that they got."""
    try:
        same = message.sender_nonce is not None and message.sender_nonce == message.recipient_nonce
    except PkixError:  # told already
        same = False
    return [f"{'senderNonce':<14} ODD: it is the recipientNonce, not one that the sender has made"] if same else []


def _status(message: PkiMessage) -> str:
    text = message.pki_status.name
    if message.pki_status is not PkiStatus.FAILURE:
        return text
    text += f", failInfo {value_or_odd(lambda: _fail_info(message))}"
    why = value_or_odd(lambda: message.fail_info_text or "")
    return f"{text}: {why}" if why else text


def _fail_info(message: PkiMessage) -> str:
    odd = "ODD: " if isinstance(message.fail_info, UndefinedFailInfo) else ""
    return odd + message.fail_info.name


def _signature(message: PkiMessage, known: Sequence[Certificate]) -> list[str]:
    signer = message.signed.signer_certificate(known)
    info = message.signed.signer
    assert info is not None
    try:
        message.verify(DIAGNOSIS, known)
        verdict = "verified"
    except PkixError as error:
        verdict = error.fact
    digest = oids.label(info.digest_algorithm.algorithm)
    return [f"signed by      {_subject(signer)}, {key_name(signer)}, {digest}: {verdict}"]


def _subject(certificate: Certificate) -> str:
    """The name of a certificate that nobody has looked at yet; those of old CAs may be unreadable."""
    try:
        return name_text(load_certificate(certificate.der).subject)
    except Malformed as error:
        return f"({error})"


def _envelope(message: PkiMessage) -> list[str]:
    if not message.signed.content:
        return ["no pkcsPKIEnvelope"]
    said = read_envelope(lambda octets: describe(octets, expected=PKI_ENVELOPE), message.signed.content, advise=False)
    return [f"pkcsPKIEnvelope {len(message.signed.content)} octets: {said}"]


def key_name(certificate: Certificate) -> str:
    """Its type as configuration and command line have it, or what its algorithm is called."""
    try:
        return certified_key_type(certificate)
    except PkixError:
        return oids.label(certificate.key_algorithm)


def _challenge(message: PkiMessage) -> list[str]:
    attribute = message.attribute(KEM_POP_CHALLENGE)
    if attribute is None:
        return []
    challenge, lines = Challenge.decode(attribute), []
    for item in challenge.ciphertexts:
        digest = challenge.parameters.kdf.digest(item.octets).hex()
        lines.append(f"kemPopChallenge {item.parameter_set} ciphertext, {len(item.octets)} octets, H {digest}")
        lines.append(f"                {item.octets[:24].hex()}...")
    return [*lines, f"                {challenge.parameters}; until {challenge.expires:%H:%M:%S} UTC"]


def _confirmation(message: PkiMessage) -> list[str]:
    attribute = message.attribute(KEM_POP_CONFIRM)
    if attribute is None:
        return []
    confirm = decode_confirm(attribute)
    hashed = [f"               capsHash {confirm.caps_hash.hex()}"] if confirm.caps_hash is not None else []
    return [f"kemPopConfirm  mac {confirm.mac.hex()}", *hashed]


def _certificates(message: PkiMessage, known: Sequence[Certificate]) -> list[str]:
    """A line for each that came along, with its role."""
    try:
        signer = message.signed.signer_certificate(known)
    except Malformed:
        signer = None
    return [f"certificate    {certificate_and_role(der, known, signer)}" for der in message.signed.certificates]


def certificate_and_role(der: bytes, known: Sequence[Certificate], signer: Certificate | None = None) -> str:
    """Name, key and role of a certificate that came along, whatever it is. der: as it came. known: of GetCACert."""
    try:
        certificate = Certificate.decode(der)
        found = [_role(Certificate.load(der))]
    except Malformed as error:
        return f"ODD: {error.fact}"
    found += ["signed this message"] if certificate == signer else []
    found += ["known from GetCACert"] if certificate in known else []
    return f"{_subject(certificate)}, {key_name(certificate)}: {', '.join(found)}"


def _role(certificate: Certificate) -> str:
    if is_ca(certificate):
        return "a CA"
    if is_cmc_ra(certificate) or is_request_agent(certificate):
        return "an RA"
    return "self-signed" if is_self_issued(certificate) else "neither CA nor marked as RA"


def describe_proof(proof: Proof) -> list[str]:
    """Lines about how the client answered a challenge. Nothing secret is shown, and of csrHash two octets: a trace is
    sent to others, who could test challenge passwords with more.
    """
    parameters = proof.challenge.parameters
    context = decode(ScepKemContext, proof.context, "ScepKemContext")
    return [
        "proof of possession, computed by the client",
        "    ss             = ML-KEM.Decaps(own key, ciphertext), for each ciphertext; never shown, never sent",
        f"    ScepKemContext = {len(proof.context)} octets, from the client's own copies:",
        f"        clientNonce      {context.client_nonce.hex()}   senderNonce of the request",
        f"        caNonce          {context.ca_nonce.hex()}   senderNonce of the challenge",
        f"        requestHash      {context.request_hash.hex()}   H(request message)",
        f"        csrHash          {context.csr_hash[:SHOWN_OF_CSR_HASH].hex()}...   H(PKCS #10)",
        f"        caSignerHash     {context.ca_signer_hash.hex()}   H(certificate that signed the challenge)",
        *(f"        ciphertextHashes {digest.hex()}" for digest in context.ciphertext_hashes),
        f"    derived key    = {parameters.kdf.name}(ss, {parameters.length} octets, "
        'info = KemOtherInfo {"SCEP-KEM", transactionID, context})',
        f"    mac            = {parameters.mac.name}(derived key, KemPopMacInput of {len(proof.mac_input)} octets: "
        "label, H(challenge message), capsHash)",
        f"                   = {proof.mac.hex()}",
        "    the CA logs the same of its own with the CertPoll that carries this, right or wrong (drafts/README.md):",
        *(f"        {name:<22} {value}" for name, value in proof.compared.items()),
    ]


def describe_certificate(certificate: Certificate) -> list[str]:
    """Lines about a certificate: names, serial, validity, key, usages."""
    lines = [
        f"subject        {name_text(certificate.subject_name)}",
        f"issuer         {name_text(certificate.issuer_name)}",
        f"serial         {certificate.serial_number:x}",
        f"valid          {certificate.not_before:%Y-%m-%d %H:%M} to {certificate.not_after:%Y-%m-%d %H:%M} UTC",
        f"key            {key_name(certificate)}",
    ]
    for extension in extensions_of(certificate):
        if isinstance(extension.value, x509.SubjectAlternativeName):
            lines.append(f"names          {', '.join(map(rendered, extension.value))}")
        if isinstance(extension.value, x509.KeyUsage):
            lines.append(f"keyUsage       {', '.join(bits_of(extension.value))}")
        if isinstance(extension.value, x509.ExtendedKeyUsage):
            lines.append(f"purposes       {', '.join(map(purpose_name, extension.value))}")
    return [printable(line) for line in lines]
