"""The ASN.1 types that occur in the examples, as shapes, by the RFCs' names for types and fields."""

from __future__ import annotations

from drafts.tools.examples.shapes import Choice, Containing, Defined, Field, Leaf, ListOf, Sequence, Shape, Tagged
from drafts.tools.tlv import OCTET_STRING

ANY = Leaf()
OCTETS = Leaf(kind=OCTET_STRING)
_MESSAGE_TYPES = {"3": "CertRep", "17": "RenewalReq", "19": "PKCSReq", "20": "CertPoll", "21": "GetCert"}
_STATUSES = {"0": "SUCCESS", "2": "FAILURE", "3": "PENDING"}
_FAIL_INFOS = {"0": "badAlg", "1": "badMessageCheck", "2": "badRequest", "3": "badTime", "4": "badCertId"}
_KEY_USAGES = (
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
)


def sequence(name: str, *fields: Field) -> Sequence:
    """SEQUENCE or SET."""
    return Sequence(name, fields)


def field(name: str, shape: Shape = ANY, tag: int | None = None) -> Field:
    """A field; one that may be absent needs its tag."""
    return Field(name, shape, tag)


# AlgorithmIdentifier, names, keys: RFC 5280, RFC 5084

GCM_PARAMETERS = sequence("GCMParameters", field("aes-nonce"), field("aes-ICVlen"))
_WITH_NULL = ("rsaEncryption", "sha256WithRSAEncryption", "id-hmacWithSHA256", "id-hmacWithSHA512")
ALGORITHM = sequence(
    "AlgorithmIdentifier",
    field("algorithm"),
    field(
        "parameters",
        Defined(
            {
                **dict.fromkeys(_WITH_NULL, ANY),
                "id-ecPublicKey": ANY,
                "id-aes128-CBC": ANY,
                "id-aes256-CBC": ANY,
                "id-aes256-GCM": GCM_PARAMETERS,
            }
        ),
    ),
)
_RDN = ListOf("", sequence("AttributeTypeAndValue", field("type"), field("value")))
NAME = ListOf("Name", _RDN)
_RSA_PUBLIC_KEY = sequence("RSAPublicKey", field("modulus"), field("publicExponent"))
SPKI = sequence("SubjectPublicKeyInfo", field("algorithm", ALGORITHM), field("subjectPublicKey"))

# Certificates: RFC 5280

_EXTENSION_VALUES: dict[str, Shape] = {
    "id-ce-basicConstraints": sequence("BasicConstraints", field("cA", tag=1), field("pathLenConstraint")),
    "id-ce-keyUsage": Leaf(bits=_KEY_USAGES, name="KeyUsage"),
    "id-ce-subjectKeyIdentifier": Leaf(name="KeyIdentifier"),
    "id-ce-authorityKeyIdentifier": sequence("AuthorityKeyIdentifier", field("keyIdentifier", OCTETS, 0x80)),
    "id-ce-extKeyUsage": ListOf("ExtKeyUsageSyntax", ANY),
}
EXTENSION = sequence(
    "Extension",
    field("extnID"),
    field("critical", tag=1),
    field("extnValue", Defined({name: Containing(shape) for name, shape in _EXTENSION_VALUES.items()})),
)
EXTENSIONS = ListOf("Extensions", EXTENSION)
TBS_CERTIFICATE = sequence(
    "TBSCertificate",
    field("version", Tagged(Leaf(names={"2": "v3"})), 0xA0),
    field("serialNumber"),
    field("signature", ALGORITHM),
    field("issuer", NAME),
    field("validity", sequence("Validity", field("notBefore"), field("notAfter"))),
    field("subject", NAME),
    field("subjectPublicKeyInfo", SPKI),
    field("extensions", Tagged(EXTENSIONS), 0xA3),
)
CERTIFICATE = sequence(
    "Certificate",
    field("tbsCertificate", TBS_CERTIFICATE),
    field("signatureAlgorithm", ALGORITHM),
    field("signatureValue"),
)
ISSUER_AND_SERIAL = sequence("IssuerAndSerialNumber", field("issuer", NAME), field("serialNumber"))

# The update

KEM_CIPHERTEXT_INFO = sequence("KemCiphertextInfo", field("kem", ALGORITHM), field("ct"))
KEM_BM_PARAMETER = sequence("KemBMParameter", field("kdf", ALGORITHM), field("len"), field("mac", ALGORITHM))
KEM_POP_CHALLENGE = sequence(
    "KemPopChallenge",
    field("version", Leaf(names={"1": "v1"})),
    field("kemCiphertexts", ListOf("", KEM_CIPHERTEXT_INFO)),
    field("macParams", KEM_BM_PARAMETER),
    field("expires"),
)
KEM_POP_CONFIRM = sequence(
    "KemPopConfirm", field("version", Leaf(names={"1": "v1"})), field("capsHash", OCTETS, 0x80), field("mac")
)
SCEP_KEM_CONTEXT = sequence(
    "ScepKemContext",
    field("version", Leaf(names={"1": "v1"})),
    field("clientNonce"),
    field("caNonce"),
    field("requestHash"),
    field("csrHash"),
    field("caSignerHash"),
    field("ciphertextHashes", ListOf("", ANY)),
)
KEM_OTHER_INFO = sequence(
    "KemOtherInfo",
    field("staticString", ListOf("PKIFreeText", ANY)),
    field("transactionID"),
    field("kemContext", Tagged(Containing(SCEP_KEM_CONTEXT)), 0xA0),
)
KEM_POP_MAC_INPUT = sequence("KemPopMacInput", field("label"), field("certRepHash"), field("capsHash", OCTETS, 0x80))
RESPONSE_KEY = sequence("ResponseKey", field("keyIdentifier"), field("wrap", ALGORITHM), field("key"))

# PKCS #10: RFC 2986, RFC 2985, RFC 9883


def _attribute_of(values: dict[str, Shape]) -> Sequence:
    """Attribute, whose type is named by itself: its OID is the most telling name."""
    table = Defined({name: ListOf("", shape) for name, shape in values.items()})
    return sequence("Attribute", field(""), field("values", table))


STATEMENT = sequence(
    "PrivateKeyPossessionStatement", field("signer", ISSUER_AND_SERIAL), field("cert", CERTIFICATE, 0x30)
)
REQUEST_INFO = sequence(
    "CertificationRequestInfo",
    field("version", Leaf(names={"0": "v1"})),
    field("subject", NAME),
    field("subjectPKInfo", SPKI),
    field(
        "attributes",
        ListOf(
            "",
            _attribute_of(
                {
                    "challengePassword": ANY,
                    "extensionRequest": EXTENSIONS,
                    "id-at-statementOfPossession": STATEMENT,
                    "id-scep-responseKey": RESPONSE_KEY,
                }
            ),
        ),
        0xA0,
    ),
)
CERTIFICATION_REQUEST = sequence(
    "CertificationRequest",
    field("certificationRequestInfo", REQUEST_INFO),
    field("signatureAlgorithm", ALGORITHM),
    field("signature"),
)
ISSUER_AND_SUBJECT = sequence("IssuerAndSubject", field("issuer", NAME), field("subject", NAME))

# Recipients: RFC 5652 section 6.2, RFC 9629

_RID = Choice({0x30: ("issuerAndSerialNumber", ISSUER_AND_SERIAL), 0x80: ("subjectKeyIdentifier", OCTETS)}, "rid")
KEM_RECIPIENT_INFO = sequence(
    "KEMRecipientInfo",
    field("version"),
    field("rid", _RID),
    field("kem", ALGORITHM),
    field("kemct"),
    field("kdf", ALGORITHM),
    field("kekLength"),
    field("ukm", Tagged(ANY), 0xA0),
    field("wrap", ALGORITHM),
    field("encryptedKey"),
)
CMS_ORI_FOR_KEM_OTHER_INFO = sequence(
    "CMSORIforKEMOtherInfo", field("wrap", ALGORITHM), field("kekLength"), field("ukm", Tagged(ANY), 0xA0)
)
_KEY_TRANS = sequence(
    "KeyTransRecipientInfo",
    field("version"),
    field("rid", _RID),
    field("keyEncryptionAlgorithm", ALGORITHM),
    field("encryptedKey"),
)
_KEK = sequence(
    "KEKRecipientInfo",
    field("version"),
    field("kekid", sequence("KEKIdentifier", field("keyIdentifier"))),
    field("keyEncryptionAlgorithm", ALGORITHM),
    field("encryptedKey"),
)
_OTHER = sequence(
    "OtherRecipientInfo", field("oriType"), field("oriValue", Defined({"id-ori-kem": KEM_RECIPIENT_INFO}))
)
RECIPIENT_INFO = Choice({0x30: ("ktri", _KEY_TRANS), 0xA2: ("kekri", _KEK), 0xA4: ("ori", _OTHER)}, "RecipientInfo")

# Envelopes: RFC 5652 section 6.1, RFC 5083

ENCRYPTED_CONTENT_INFO = sequence(
    "EncryptedContentInfo",
    field("contentType"),
    field("contentEncryptionAlgorithm", ALGORITHM),
    field("encryptedContent", OCTETS, 0x80),
)
_ENVELOPED = (
    field("version"),
    field("recipientInfos", ListOf("", RECIPIENT_INFO)),
)
ENVELOPED_DATA = sequence("EnvelopedData", *_ENVELOPED, field("encryptedContentInfo", ENCRYPTED_CONTENT_INFO))
AUTH_ENVELOPED_DATA = sequence(
    "AuthEnvelopedData", *_ENVELOPED, field("authEncryptedContentInfo", ENCRYPTED_CONTENT_INFO), field("mac")
)
PKCS_PKI_ENVELOPE = sequence(
    "ContentInfo",
    field("contentType"),
    field(
        "content",
        Defined({"id-envelopedData": Tagged(ENVELOPED_DATA), "id-ct-authEnvelopedData": Tagged(AUTH_ENVELOPED_DATA)}),
    ),
)

# pkiMessage: RFC 5652 section 5, RFC 8894 section 3.2

SIGNED_ATTRIBUTES: dict[str, Shape] = {
    "id-contentType": Leaf(name="contentType"),
    "id-messageDigest": Leaf(name="messageDigest"),
    "id-signingTime": Leaf(name="signingTime"),
    "id-messageType": Leaf(names=_MESSAGE_TYPES, name="messageType"),
    "id-pkiStatus": Leaf(names=_STATUSES, name="pkiStatus"),
    "id-failInfo": Leaf(names=_FAIL_INFOS, name="failInfo"),
    "id-scep-failInfoText": Leaf(name="failInfoText"),
    "id-senderNonce": Leaf(name="senderNonce"),
    "id-recipientNonce": Leaf(name="recipientNonce"),
    "id-transactionID": Leaf(name="transactionID"),
    "id-scep-kemPopChallenge": KEM_POP_CHALLENGE,
    "id-scep-kemPopConfirm": KEM_POP_CONFIRM,
}
SIGNER_INFO = sequence(
    "SignerInfo",
    field("version"),
    field("sid", ISSUER_AND_SERIAL),
    field("digestAlgorithm", ALGORITHM),
    field("signedAttrs", ListOf("", _attribute_of(SIGNED_ATTRIBUTES)), 0xA0),
    field("signatureAlgorithm", ALGORITHM),
    field("signature"),
)


def _signed_data(content: Shape) -> Sequence:
    signed = sequence(
        "SignedData",
        field("version"),
        field("digestAlgorithms", ListOf("", ALGORITHM)),
        field(
            "encapContentInfo",
            sequence("EncapsulatedContentInfo", field("eContentType"), field("eContent", Tagged(content), 0xA0)),
        ),
        field("certificates", ListOf("", CERTIFICATE), 0xA0),
        field("signerInfos", ListOf("", SIGNER_INFO)),
    )
    return sequence("ContentInfo", field("contentType"), field("content", Tagged(signed)))


PKI_MESSAGE = _signed_data(Containing(PKCS_PKI_ENVELOPE))
CERTIFICATES_ONLY = _signed_data(ANY)
