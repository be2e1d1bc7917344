"""The certification authority: issuing, profiles, authorisation, CRLs and the Store.

Nothing here knows SCEP, HTTP or files: protocols call in with a request and a moment in time, and get a decision or
a certificate back. The SQL store is the one place below `scep_kem/` that does I/O.

Every `now` is aware UTC in whole seconds, which is what certificates count in.
"""
