"""SCEP, RFC 8894: messages, the transaction table, a responder (bytes in, bytes out) and a sans-IO client.

Nothing here opens a socket or a file, reads a clock or logs: time and randomness are arguments, and what is worth
logging comes back as events.
"""
