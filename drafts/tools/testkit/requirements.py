"""What the cases test: each requirement with its level and where it stands. "draft" is the Internet-Draft beside the
cases, by the anchor of its section.
"""

from __future__ import annotations

from dataclasses import dataclass

DRAFT = "draft"


@dataclass(frozen=True)
class Requirement:
    """level: the strongest word of BCP 14 in it, or "text". where: (document, section or title) pairs."""

    level: str
    text: str
    where: tuple[tuple[str, str], ...]


def _one(level: str, text: str, *where: str) -> Requirement:
    pairs = [item.partition(": ") for item in where]
    return Requirement(level, text, tuple((document, section) for document, _colon, section in pairs))


REQUIREMENTS: dict[str, Requirement] = {
    # CA, RFC 8894
    "ca-signed-data": _one("MUST", "a pkiMessage is SignedData with one signer", "RFC 8894: 3", "RFC 8894: 3.2"),
    "ca-authenticated-attributes": _one("MUST", "signedAttrs are present", "RFC 8894: 3.2"),
    "ca-content-type": _one("MUST", "eContentType is id-data", "RFC 8894: 3.2"),
    "ca-signature": _one(
        "MUST", "the signature, messageDigest and contentType are verified", "RFC 8894: 3.2.1.4", "RFC 5652: 5.6"
    ),
    "ca-signer-certificate": _one("MUST", "the signer's certificate is included", "RFC 8894: 2.3"),
    "ca-transaction-id": _one(
        "MUST", "transactionID is there once, a PrintableString", "RFC 8894: 3.2.1.1", f"{DRAFT}: #errors"
    ),
    "ca-message-type": _one(
        "MUST", "messageType is there and defined; an undefined one is an error", "RFC 8894: 3.2.1.2"
    ),
    "ca-sender-nonce": _one(
        "MUST",
        "senderNonce is there; it has 16 octets (shorter ones of old clients MAY pass)",
        "RFC 8894: 3.2.1.5",
        f"{DRAFT}: #csr-checks",
    ),
    "ca-time": _one("MAY", "badTime if signingTime is too far off and the policy minds", "RFC 8894: 3.2.1.4"),
    "ca-mandatory": _one("MUST", "PKCSReq, AES-128-CBC and SHA-256 are supported", "RFC 8894: 2.9"),
    "ca-same-algorithms": _one(
        "SHOULD", "the answer uses cipher and digest of the request", "RFC 8894: 3.5.2", f"{DRAFT}: #content"
    ),
    "ca-bad-alg": _one("MUST", "an algorithm that is not supported is answered with badAlg", "RFC 8894: 3.2.1.4"),
    "ca-no-md5": _one("MUST NOT", "MD5 is not used", "RFC 8894: 2.9", "RFC 8894: 7.5"),
    "ca-no-des": _one("MUST NOT", "single DES is not used", "RFC 8894: 2.9", "RFC 8894: 7.5"),
    "ca-sha1": _one("MAY", "SHA-1 only where the policy allows it", "RFC 8894: 2.9"),
    "ca-3des": _one("MAY", "3DES only where the policy allows it", "RFC 8894: 2.9"),
    "ca-key-size": _one("MUST", "keys that are too weak are refused", "RFC 8894: 3.2.1.4"),
    "ca-envelope": _one("MUST", "the pkcsPKIEnvelope is EnvelopedData over id-data", "RFC 8894: 3.2.2"),
    "ca-envelope-recipient": _one("MUST", "the envelope is addressed to this CA", "RFC 8894: 3.2.2"),
    "ca-one-text": _one(
        "MUST",
        "under AES-CBC, everything until the CSR's signature or the name has verified is reported alike",
        f"{DRAFT}: #oracle",
    ),
    "ca-content-matches-type": _one("MUST", "the content matches messageType", "RFC 8894: 3.2"),
    "ca-csr": _one("MUST", "a PKCS #10 request has version 0, a subject and a key", "RFC 8894: 3.3.1"),
    "ca-csr-signature": _one(
        "MUST", "the PKCS #10 request is signed with the requested key", "RFC 8894: 3.3.1", "RFC 2986: 3"
    ),
    "ca-challenge-password": _one(
        "MUST", "the challengePassword is there once and right", "RFC 8894: 2.4", "RFC 8894: 3.3.1"
    ),
    "ca-one-time": _one("RECOMMENDED", "a challengePassword serves one certificate", "RFC 8894: 2.4"),
    "ca-pending": _one("text", "manual approval: PENDING", "RFC 8894: 4.3.1"),
    "ca-poll": _one("SHOULD", "CertPoll goes by transactionID and recipient, not by its content", "RFC 8894: 3.3.3"),
    "ca-poll-unknown": _one("MUST", "a CertPoll that matches no request is refused", "RFC 8894: 4.4"),
    "ca-resync": _one(
        "text",
        "all cases of resynchronisation end with the certificate",
        "RFC 8894: 5.2",
        f"{DRAFT}: #state-machine",
    ),
    "ca-transaction-identity": _one(
        "MUST", "a transaction is URL, transactionID and the signer's key", f"{DRAFT}: #state-machine"
    ),
    "ca-renewal": _one(
        "MUST",
        "a RenewalReq is signed with a valid certificate of the CA, whose names it keeps",
        "RFC 8894: 2.5",
        "RFC 8894: 3.3.1",
    ),
    "ca-get-cert": _one("MUST", "GetCert is answered with the certificate or badCertId", "RFC 8894: 4.5"),
    "ca-get-crl": _one(
        "MUST", "GetCRL is answered with the field crls or badCertId", "RFC 8894: 3.3.2.1", "RFC 8894: 4.6"
    ),
    "ca-password-recipient": _one(
        "MUST",
        "a key that cannot decrypt is answered under the challengePassword",
        "RFC 8894: 3.1",
        f"{DRAFT}: #answers",
    ),
    # CA, the update
    "ca-gcm": _one(
        "MUST",
        "AuthEnvelopedData: cipher, tag, aes-ICVlen and authAttrs; none in EnvelopedData",
        f"{DRAFT}: #content",
        "RFC 5084: 3.2",
    ),
    "ca-kemri": _one(
        "MUST",
        "KEMRecipientInfo: structure, KDF, wrap, kekLength and ukm",
        f"{DRAFT}: #kemri",
        "RFC 9629: 3",
    ),
    "ca-key-transport": _one("MUST", "KeyTransRecipientInfo with ML-KEM is refused", f"{DRAFT}: #kemri"),
    "ca-unsigned-form": _one("MUST", "an unsigned request has neither parameters nor signature", f"{DRAFT}: #csr"),
    "ca-unsigned-only-kem": _one("MUST", "a key that can sign signs its request", f"{DRAFT}: #csr"),
    "ca-statement": _one(
        "MUST",
        "a statement names a valid certificate, fits its subject and verifies",
        f"{DRAFT}: #csr-checks",
        "RFC 9883: 4",
    ),
    "ca-kem-key-check": _one(
        "MUST", "length and modulus of the encapsulation key", f"{DRAFT}: #csr-checks", "FIPS 203: 7.2"
    ),
    "ca-kem-usage": _one(
        "MUST", "keyUsage of an ML-KEM key is keyEncipherment alone", f"{DRAFT}: #csr-checks", "RFC 9935: 5"
    ),
    "ca-kem-sets": _one("MUST", "the parameter set is one that the CA certifies", f"{DRAFT}: #csr-checks"),
    "ca-password-before-challenge": _one(
        "MUST", "the challengePassword is checked before encapsulation", f"{DRAFT}: #csr-checks"
    ),
    "ca-password-not-reserved": _one(
        "MUST",
        "a one-time challengePassword is used up by a certificate, and reserved by nothing before",
        f"{DRAFT}: #csr-checks",
        f"{DRAFT}: #ca-processing",
    ),
    "ca-ml-dsa": _one(
        "MUST",
        "ML-DSA signers, if listed, with a digest that is long enough",
        f"{DRAFT}: #capabilities",
        "RFC 9882: 3.3",
    ),
    "ca-kem-challenge": _one(
        "MUST", "a request for a KEM key is answered with a challenge", f"{DRAFT}: #ca-processing"
    ),
    "ca-states": _one("MUST", "the state machine", f"{DRAFT}: #state-machine"),
    "ca-replay": _one("MUST", "a copy of a message that was answered gets the same answer", f"{DRAFT}: #state-machine"),
    "ca-copies": _one("MUST", "a copy is recognised by what is signed, not by its octets", f"{DRAFT}: #copies"),
    "ca-same-request": _one(
        "MUST", "the same request has the same messageType and certificate to renew", f"{DRAFT}: #state-machine"
    ),
    "ca-kemri-authenticated": _one(
        "MUST", "a KEMRecipientInfo comes in AuthEnvelopedData", f"{DRAFT}: #kemri", "RFC 9709: 1"
    ),
    "ca-kem-csr-authenticated": _one(
        "MUST", "a request for an ML-KEM key comes in AuthEnvelopedData", f"{DRAFT}: #opening"
    ),
    "ca-kem-key-weak": _one("SHOULD", "a key with which anybody can decapsulate is refused", f"{DRAFT}: #csr-checks"),
    "ca-no-challenge": _one(
        "text", "a CA may certify without a challenge, but for renewals", f"{DRAFT}: #other-policies"
    ),
    "ca-challenge-limit": _one("SHOULD", "five challenges for one transaction", f"{DRAFT}: #state-machine"),
    "ca-confirm": _one(
        "MUST",
        "a right confirmation brings the certificate; outside of CertPoll it is ignored",
        f"{DRAFT}: #ca-processing",
        f"{DRAFT}: #confirmation",
    ),
    "ca-confirm-mac": _one("MUST", "the MAC is compared; every failure has one text", f"{DRAFT}: #ca-processing"),
    "ca-confirm-context": _one("MUST", "the context is made of the CA's own copies", f"{DRAFT}: #context"),
    "ca-confirm-caps": _one(
        "MUST", "capsHash is covered by the MAC and is of a body that was served", f"{DRAFT}: #downgrade"
    ),
    "ca-confirm-structure": _one("MUST", "one attribute, one value, version 1", f"{DRAFT}: #confirmation"),
    "ca-confirm-expiry": _one("MUST", "a confirmation after expires is refused", f"{DRAFT}: #ca-processing"),
    "ca-challenge-once": _one(
        "MUST",
        "one attempt for each challenge; an older one is gone",
        f"{DRAFT}: #ca-processing",
        f"{DRAFT}: #state-machine",
    ),
    "ca-kem-renewal": _one(
        "MUST",
        "renewal of a KEM certificate: which one, whether valid, and for a KEM key",
        f"{DRAFT}: #renewal",
    ),
    "ca-kem-renewal-both": _one("MUST", "possession of the new and the old key is proven", f"{DRAFT}: #renewal"),
    "ca-response-key": _one(
        "MUST", "responseKey: structure, lengths, once for each request", f"{DRAFT}: #response-key-reuse"
    ),
    # Client, RFC 8894
    "client-signature": _one("MUST", "the CertRep's signature is verified", "RFC 8894: 3.2.1.4", "RFC 5652: 5.6"),
    "client-signer": _one("MUST", "the CertRep's signer is the CA or its RA", "RFC 8894: 2.2", f"{DRAFT}: #cmcra"),
    "client-algorithms": _one(
        "MUST NOT", "MD5, and SHA-1 unless the policy allows it, are not accepted", "RFC 8894: 2.9"
    ),
    "client-correlation": _one(
        "MUST", "transactionID, recipientNonce and messageType are verified", "RFC 8894: 3.2.1.1", "RFC 8894: 3.2.1.5"
    ),
    "client-status": _one(
        "MUST",
        "pkiStatus is defined; an envelope comes with SUCCESS and with nothing else",
        "RFC 8894: 3.2.1.3",
        "RFC 8894: 3.3.2",
    ),
    "client-fail-info": _one("MUST", "failInfo comes with FAILURE and is defined", "RFC 8894: 3.2.1.4"),
    "client-success": _one("MUST", "the certificate asked for is found", "RFC 8894: 3.3.2.1"),
    "client-envelope": _one("MUST", "the envelope is for the client and opens", "RFC 8894: 3.2.2"),
    "client-certificate": _one(
        "MUST", "the certificate is for the requested key and of this CA", f"{DRAFT}: #client-processing"
    ),
    "client-password-recipient": _one("MUST", "PasswordRecipientInfo with the challengePassword", "RFC 8894: 3.1"),
    "client-queries": _one("MUST", "GetCert and GetCRL bring what was asked for", "RFC 8894: 4.5", "RFC 8894: 4.6"),
    "client-fingerprint": _one("MUST", "the CA certificate is authenticated", "RFC 8894: 2.2"),
    "client-next-ca": _one("MUST", "GetNextCACert is signed by the current CA", "RFC 8894: 4.7.1"),
    # Client, the update
    "client-ra-authentication": _one(
        "MUST",
        "what does not chain, is not valid or not an RA is left out of GetCACert",
        f"{DRAFT}: #cmcra",
    ),
    "client-no-fallback": _one(
        "MUST", "ML-KEM if the CA has it, and no fallback where it is required", f"{DRAFT}: #capabilities"
    ),
    "client-challenge": _one("MUST", "a challenge is answered with this mac", f"{DRAFT}: #client-processing"),
    "client-before-decapsulation": _one(
        "MUST", "the CertRep is verified before Decaps", f"{DRAFT}: #client-processing"
    ),
    "client-challenge-form": _one("MUST", "one attribute, one value, version 1, all fields", f"{DRAFT}: #challenge"),
    "client-mac-params": _one("MUST", "macParams are one of the two rows", f"{DRAFT}: #challenge"),
    "client-ciphertexts": _one(
        "MUST", "number, parameter set and length of the ciphertexts", f"{DRAFT}: #client-processing"
    ),
    "client-expires": _one(
        "MUST NOT",
        "a client without a reliable clock does not refuse a challenge for expires",
        f"{DRAFT}: #challenge",
    ),
    "client-implicit-rejection": _one(
        "text",
        "an altered ciphertext gives another mac and no error",
        f"{DRAFT}: #client-processing",
        "FIPS 203: 6.3",
    ),
    "client-renewal": _one("MUST", "two ciphertexts if and only if a KEM certificate is renewed", f"{DRAFT}: #renewal"),
    "client-kemri": _one(
        "MUST",
        "KEMRecipientInfo and AuthEnvelopedData in the answer",
        f"{DRAFT}: #kemri",
        f"{DRAFT}: #content",
    ),
    "client-response-key": _one("MUST", "KEKRecipientInfo under the response key", f"{DRAFT}: #response-key-reuse"),
    # Functions
    "derivation-context": _one("MUST", "ScepKemContext", f"{DRAFT}: #context"),
    "derivation-derive": _one("MUST", "the derived key", f"{DRAFT}: #derivation"),
    "derivation-mac": _one("MUST", "KemPopMacInput and the MAC", f"{DRAFT}: #derivation"),
    "derivation-kek": _one("MUST", "the key-encryption key", f"{DRAFT}: #kemri", "RFC 9629: 5"),
    "derivation-encapsulate": _one("MUST", "ML-KEM.Encaps with given randomness", "FIPS 203: 6.2"),
    "derivation-decapsulate": _one("MUST", "ML-KEM.Decaps", "FIPS 203: 6.3"),
}
