"""Codecs shared by every enrolment protocol: ASN.1, CMS (RFC 5652), PKCS #10 (RFC 2986), key files.

Nothing here knows SCEP. Everything works on bytes; there is no file, socket, clock or log in this package.
"""
