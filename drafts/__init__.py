"""The Internet-Draft, and what ties it to the code: its wire examples, its vectors and the checks on both."""
