"""Object identifiers, each with the document that assigns it, as `ObjectIdentifier` constants."""

from collections.abc import Mapping

from cryptography.x509 import ObjectIdentifier as Oid

# CMS content types, RFC 5652
DATA = Oid("1.2.840.113549.1.7.1")
SIGNED_DATA = Oid("1.2.840.113549.1.7.2")
ENVELOPED_DATA = Oid("1.2.840.113549.1.7.3")
AUTH_ENVELOPED_DATA = Oid("1.2.840.113549.1.9.16.1.23")  # RFC 5083
AUTHENTICATED_DATA = Oid("1.2.840.113549.1.9.16.1.2")
ENCRYPTED_DATA = Oid("1.2.840.113549.1.7.6")
ASYMMETRIC_KEY_PACKAGE = Oid("2.16.840.1.101.2.1.2.78.5")  # RFC 5958

# CMS signed attributes, RFC 5652 section 11
CONTENT_TYPE = Oid("1.2.840.113549.1.9.3")
MESSAGE_DIGEST = Oid("1.2.840.113549.1.9.4")
SIGNING_TIME = Oid("1.2.840.113549.1.9.5")

# PKCS #9 attributes of a PKCS #10 request, RFC 2985
CHALLENGE_PASSWORD = Oid("1.2.840.113549.1.9.7")
EXTENSION_REQUEST = Oid("1.2.840.113549.1.9.14")
MS_EXTENSION_REQUEST = Oid("1.3.6.1.4.1.311.2.1.14")  # what Windows' certreq writes instead

# Digests, RFC 5754; SHA-1 and MD5 are named to be refused or put under the legacy policy
MD5 = Oid("1.2.840.113549.2.5")
SHA1 = Oid("1.3.14.3.2.26")
SHA224 = Oid("2.16.840.1.101.3.4.2.4")
SHA256 = Oid("2.16.840.1.101.3.4.2.1")
SHA384 = Oid("2.16.840.1.101.3.4.2.2")
SHA512 = Oid("2.16.840.1.101.3.4.2.3")

# Signatures: RFC 8017, RFC 5758, RFC 8410
RSA_ENCRYPTION = Oid("1.2.840.113549.1.1.1")
MD5_WITH_RSA = Oid("1.2.840.113549.1.1.4")
SHA1_WITH_RSA = Oid("1.2.840.113549.1.1.5")
SHA256_WITH_RSA = Oid("1.2.840.113549.1.1.11")
SHA384_WITH_RSA = Oid("1.2.840.113549.1.1.12")
SHA512_WITH_RSA = Oid("1.2.840.113549.1.1.13")
RSASSA_PSS = Oid("1.2.840.113549.1.1.10")
EC_PUBLIC_KEY = Oid("1.2.840.10045.2.1")
ECDSA_WITH_SHA1 = Oid("1.2.840.10045.4.1")
ECDSA_WITH_SHA256 = Oid("1.2.840.10045.4.3.2")
ECDSA_WITH_SHA384 = Oid("1.2.840.10045.4.3.3")
ECDSA_WITH_SHA512 = Oid("1.2.840.10045.4.3.4")
ED25519 = Oid("1.3.101.112")
ML_DSA_44 = Oid("2.16.840.1.101.3.4.3.17")  # RFC 9881, RFC 9882
ML_DSA_65 = Oid("2.16.840.1.101.3.4.3.18")
ML_DSA_87 = Oid("2.16.840.1.101.3.4.3.19")

# Key transport and password-based recipients: RFC 8017, RFC 8018, RFC 3211
RSAES_OAEP = Oid("1.2.840.113549.1.1.7")
MGF1 = Oid("1.2.840.113549.1.1.8")
P_SPECIFIED = Oid("1.2.840.113549.1.1.9")
PBKDF2 = Oid("1.2.840.113549.1.5.12")
PBES2 = Oid("1.2.840.113549.1.5.13")
PBMAC1 = Oid("1.2.840.113549.1.5.14")
PWRI_KEK = Oid("1.2.840.113549.1.9.16.3.9")
HMAC_SHA1 = Oid("1.2.840.113549.2.7")
HMAC_SHA256 = Oid("1.2.840.113549.2.9")
HMAC_SHA384 = Oid("1.2.840.113549.2.10")
HMAC_SHA512 = Oid("1.2.840.113549.2.11")

# ML-KEM and what goes with it in CMS: RFC 9935, RFC 9936, RFC 9629, RFC 8619, RFC 3394
ML_KEM_512 = Oid("2.16.840.1.101.3.4.4.1")
ML_KEM_768 = Oid("2.16.840.1.101.3.4.4.2")
ML_KEM_1024 = Oid("2.16.840.1.101.3.4.4.3")
ORI_KEM = Oid("1.2.840.113549.1.9.16.13.3")
HKDF_SHA256 = Oid("1.2.840.113549.1.9.16.3.28")
HKDF_SHA384 = Oid("1.2.840.113549.1.9.16.3.29")
HKDF_SHA512 = Oid("1.2.840.113549.1.9.16.3.30")
AES128_WRAP = Oid("2.16.840.1.101.3.4.1.5")
AES192_WRAP = Oid("2.16.840.1.101.3.4.1.25")
AES256_WRAP = Oid("2.16.840.1.101.3.4.1.45")

# PKCS #10 without a signature, and statements of possession: RFC 9925, RFC 5272, RFC 9883
UNSIGNED = Oid("1.3.6.1.5.5.7.6.36")
NO_SIGNATURE = Oid("1.3.6.1.5.5.7.6.2")
STATEMENT_OF_POSSESSION = Oid("1.3.6.1.4.1.22112.2.1")

# Content encryption, RFC 3565, RFC 8018, RFC 5084
AES128_CBC = Oid("2.16.840.1.101.3.4.1.2")
AES192_CBC = Oid("2.16.840.1.101.3.4.1.22")
AES256_CBC = Oid("2.16.840.1.101.3.4.1.42")
AES128_GCM = Oid("2.16.840.1.101.3.4.1.6")
AES192_GCM = Oid("2.16.840.1.101.3.4.1.26")
AES256_GCM = Oid("2.16.840.1.101.3.4.1.46")
DES_CBC = Oid("1.3.14.3.2.7")
DES_EDE3_CBC = Oid("1.2.840.113549.3.7")

# PKCS #12, RFC 7292 sections 4.2 and 4.2.3, RFC 2985
KEY_BAG = Oid("1.2.840.113549.1.12.10.1.1")
PKCS8_SHROUDED_KEY_BAG = Oid("1.2.840.113549.1.12.10.1.2")
CERT_BAG = Oid("1.2.840.113549.1.12.10.1.3")
X509_CERTIFICATE = Oid("1.2.840.113549.1.9.22.1")
LOCAL_KEY_ID = Oid("1.2.840.113549.1.9.21")

# Microsoft's security identifier extension, [MS-WCCE] 2.2.2.7.7.4
MS_NTDS_CA_SECURITY = Oid("1.3.6.1.4.1.311.25.2")

_NAMES = {
    value.dotted_string: name.lower().replace("_", "-")
    for name, value in list(globals().items())
    if isinstance(value, Oid)
}
_NAMES.update(
    {
        SHA1.dotted_string: "SHA-1",
        SHA256.dotted_string: "SHA-256",
        SHA384.dotted_string: "SHA-384",
        SHA512.dotted_string: "SHA-512",
        MD5.dotted_string: "MD5",
        DES_CBC.dotted_string: "DES-CBC",
        DES_EDE3_CBC.dotted_string: "3DES-CBC",
        AES128_CBC.dotted_string: "AES-128-CBC",
        AES192_CBC.dotted_string: "AES-192-CBC",
        AES256_CBC.dotted_string: "AES-256-CBC",
        AES128_GCM.dotted_string: "AES-128-GCM",
        AES192_GCM.dotted_string: "AES-192-GCM",
        AES256_GCM.dotted_string: "AES-256-GCM",
        RSA_ENCRYPTION.dotted_string: "RSA PKCS #1 v1.5",
        RSASSA_PSS.dotted_string: "RSASSA-PSS",
        RSAES_OAEP.dotted_string: "RSAES-OAEP",
        ED25519.dotted_string: "Ed25519",
        ML_DSA_44.dotted_string: "ML-DSA-44",
        ML_DSA_65.dotted_string: "ML-DSA-65",
        ML_DSA_87.dotted_string: "ML-DSA-87",
        ML_KEM_512.dotted_string: "ML-KEM-512",
        ML_KEM_768.dotted_string: "ML-KEM-768",
        ML_KEM_1024.dotted_string: "ML-KEM-1024",
        HKDF_SHA256.dotted_string: "HKDF-SHA256",
        HKDF_SHA384.dotted_string: "HKDF-SHA384",
        HKDF_SHA512.dotted_string: "HKDF-SHA512",
    }
)


# What peers send and nobody here reads, for texts: NIST's AES in other modes, RFC 2630, RFC 3279, RFC 8410, RFC 5990.
_NAMES.update(
    {
        f"2.16.840.1.101.3.4.1.{first + at}": name.format(size)
        for size, first in ((128, 0), (192, 20), (256, 40))
        for at, name in {
            1: "AES-{}-ECB",
            3: "AES-{}-OFB",
            4: "AES-{}-CFB",
            7: "AES-{}-CCM",
            8: "AES-{}-wrap-pad",
        }.items()
    }
)
_NAMES.update(
    {
        "1.2.840.10045.3.1.7": "P-256",
        "1.3.132.0.34": "P-384",
        "1.3.132.0.35": "P-521",
        "1.3.132.0.10": "secp256k1",
        "1.2.840.113549.3.2": "RC2-CBC",
        "1.2.840.113549.3.4": "RC4",
        # RFC 8018 appendix A.3, RFC 7292 appendix C, RFC 7914 section 7
        "1.2.840.113549.1.5.3": "pbeWithMD5AndDES-CBC",
        "1.2.840.113549.1.5.10": "pbeWithSHA1AndDES-CBC",
        "1.2.840.113549.1.12.1.1": "pbeWithSHAAnd128BitRC4",
        "1.2.840.113549.1.12.1.2": "pbeWithSHAAnd40BitRC4",
        "1.2.840.113549.1.12.1.3": "pbeWithSHAAnd3-KeyTripleDES-CBC",
        "1.2.840.113549.1.12.1.4": "pbeWithSHAAnd2-KeyTripleDES-CBC",
        "1.2.840.113549.1.12.1.5": "pbeWithSHAAnd128BitRC2-CBC",
        "1.2.840.113549.1.12.1.6": "pbeWithSHAAnd40BitRC2-CBC",
        "1.3.6.1.4.1.11591.4.11": "scrypt",
        "1.2.840.113549.1.9.16.3.6": "3DES-wrap",
        "1.2.840.113549.1.9.16.3.14": "RSA-KEM",
        "1.2.840.113549.1.9.16.3.18": "ChaCha20-Poly1305",
        "1.2.840.10040.4.1": "DSA",
        "1.2.840.10046.2.1": "Diffie-Hellman",
        "1.3.101.110": "X25519",
        "1.3.101.111": "X448",
        "1.3.101.113": "Ed448",
    }
)


def has_name(dotted: str) -> bool:
    """Whether an object identifier, in its dotted form, is one that has a name here."""
    return dotted in _NAMES


def label(oid: Oid) -> str:
    """A readable name alone: "DES-CBC"; the dotted form if there is none."""
    return _NAMES.get(oid.dotted_string, oid.dotted_string)


def name(oid: Oid, more: Mapping[Oid, str] | None = None) -> str:
    """A readable name with the dotted form, for error texts and traces: "DES-CBC (1.3.14.3.2.7)".

    more: what a protocol calls identifiers of its own.
    """
    dotted = oid.dotted_string
    found = _NAMES.get(dotted) or (more or {}).get(oid)
    return f"{found} ({dotted})" if found else dotted
