"""`make bench`: enrolments per second, ours next to micromdm's `scepserver`, with the same RSA-2048 CA.

What is compared: our application under gunicorn, as one would run it in production, with its database committed to
disk by fsync before a certificate leaves; and the Go server of the Debian package `scep`, which writes files without
fsync. Both have the same CA key and certificate, both get the very same octets: PKCSReq messages made beforehand with
AES-128-CBC and SHA-256, one client key, another subject, transactionID and nonce in each. One TCP connection carries
one request, which is how SCEP clients behave.

How: servers, load generator and everything else share two cores, so the figures are those of a small machine that
also pays for its clients. Other work on the machine comes and goes: a round waits for a quiet moment if there is one,
rounds of the servers alternate, a ratio is the median of the ratios of neighbouring rounds, and only those rounds
count, one half, in which others used least of the cores.

After the timed part every answer is checked: signature, signer, transactionID, recipientNonce, decryption, key,
subject, issuer, and that no serial number occurs twice.

The *limit* is what the private and public keys cost if nothing else did: one RSA-2048 decryption, two signatures, two
verifications and one encryption with `cryptography`, measured between the rounds, times the number of cores.
"""
