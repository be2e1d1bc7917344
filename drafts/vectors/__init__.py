"""Test cases for implementations of SCEP with ML-KEM, in any language, and a runner that shows how to use them."""
