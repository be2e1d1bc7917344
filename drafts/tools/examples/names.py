"""Object identifiers by the names that the RFCs give them, for the dumps of the examples.

Apart from `pkix.oids`, whose names are those of our code and its error texts.
"""

from __future__ import annotations

NAMES = {
    # CMS: RFC 5652, RFC 5083
    "1.2.840.113549.1.7.1": "id-data",
    "1.2.840.113549.1.7.2": "id-signedData",
    "1.2.840.113549.1.7.3": "id-envelopedData",
    "1.2.840.113549.1.9.16.1.23": "id-ct-authEnvelopedData",
    "1.2.840.113549.1.9.3": "id-contentType",
    "1.2.840.113549.1.9.4": "id-messageDigest",
    "1.2.840.113549.1.9.5": "id-signingTime",
    "1.2.840.113549.1.9.16.13.3": "id-ori-kem",
    # SCEP: RFC 8894 section 3.2.1
    "2.16.840.1.113733.1.9.2": "id-messageType",
    "2.16.840.1.113733.1.9.3": "id-pkiStatus",
    "2.16.840.1.113733.1.9.4": "id-failInfo",
    "2.16.840.1.113733.1.9.5": "id-senderNonce",
    "2.16.840.1.113733.1.9.6": "id-recipientNonce",
    "2.16.840.1.113733.1.9.7": "id-transactionID",
    "1.3.6.1.5.5.7.24.1": "id-scep-failInfoText",
    # The update, until IANA assigns its own
    "1.3.6.1.4.1.32473.8894.1": "id-scep-kemPopChallenge",
    "1.3.6.1.4.1.32473.8894.2": "id-scep-kemPopConfirm",
    "1.3.6.1.4.1.32473.8894.3": "id-scep-responseKey",
    # PKCS #10 attributes: RFC 2985, RFC 9883
    "1.2.840.113549.1.9.7": "challengePassword",
    "1.2.840.113549.1.9.14": "extensionRequest",
    "1.3.6.1.4.1.22112.2.1": "id-at-statementOfPossession",
    # Keys, signatures and digests
    "1.2.840.113549.1.1.1": "rsaEncryption",
    "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
    "1.2.840.10045.2.1": "id-ecPublicKey",
    "1.2.840.10045.3.1.7": "secp256r1",
    "1.2.840.10045.4.1": "ecdsa-with-SHA1",
    "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
    "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
    "2.16.840.1.101.3.4.3.18": "id-ml-dsa-65",
    "1.3.6.1.5.5.7.6.36": "id-alg-unsigned",
    "1.3.14.3.2.26": "id-sha1",
    "2.16.840.1.101.3.4.2.1": "id-sha256",
    "2.16.840.1.101.3.4.2.3": "id-sha512",
    # KEM, KDF, MAC and encryption
    "2.16.840.1.101.3.4.4.2": "id-alg-ml-kem-768",
    "2.16.840.1.101.3.4.4.3": "id-alg-ml-kem-1024",
    "1.2.840.113549.1.9.16.3.28": "id-alg-hkdf-with-sha256",
    "1.2.840.113549.1.9.16.3.30": "id-alg-hkdf-with-sha512",
    "1.2.840.113549.2.9": "id-hmacWithSHA256",
    "1.2.840.113549.2.11": "id-hmacWithSHA512",
    "2.16.840.1.101.3.4.1.5": "id-aes128-wrap",
    "2.16.840.1.101.3.4.1.45": "id-aes256-wrap",
    "2.16.840.1.101.3.4.1.2": "id-aes128-CBC",
    "2.16.840.1.101.3.4.1.42": "id-aes256-CBC",
    "2.16.840.1.101.3.4.1.46": "id-aes256-GCM",
    # Names and extensions: RFC 5280, RFC 6402
    "2.5.4.3": "id-at-commonName",
    "2.5.4.10": "id-at-organizationName",
    "2.5.29.14": "id-ce-subjectKeyIdentifier",
    "2.5.29.15": "id-ce-keyUsage",
    "2.5.29.19": "id-ce-basicConstraints",
    "2.5.29.35": "id-ce-authorityKeyIdentifier",
    "2.5.29.37": "id-ce-extKeyUsage",
    "1.3.6.1.5.5.7.3.2": "id-kp-clientAuth",
    "1.3.6.1.5.5.7.3.28": "id-kp-cmcRA",
}
OIDS = {name: dotted for dotted, name in NAMES.items()}
