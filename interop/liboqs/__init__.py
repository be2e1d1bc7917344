"""The C library liboqs, for the liboqs backend of `kem`: see `build`."""
