"""This project's answer to a case: the adapter that another implementation writes for itself."""

from __future__ import annotations

from drafts.tools.testkit import our_ca, our_client, our_derivations
from drafts.vectors.runner import Case, Result

_ROLES = {"ca": our_ca.run, "client": our_client.run, "derivation": our_derivations.run}


def run(case: Case) -> Result:
    """Run one case through our code."""
    return _ROLES[case.header("role")](case)
