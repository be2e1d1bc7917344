"""Interop suite: real SCEP peers against our responder, and our client against real servers, on loopback.

`python -m interop install` gets the peers, `python -m interop` runs them; see README.md. One package per peer holds
how it is installed and its cases; `kit` is what they share. Nothing in the project imports this package.
"""
