"""ML-KEM (FIPS 203), its keys (RFC 9935), and a proof of possession of an ML-KEM key by encapsulation and MAC.

The part of this project that is new, kept reviewable alone: it imports nothing of ours, only the standard library,
`cryptography` and, if it is there, `oqs`. Everything works on bytes; there is no file, clock, environment or log here,
with one named exception, `liboqs_library`, which imports `oqs` and has to keep it quiet.

Read `exchange`, then `keys`, then `backend`.
"""
