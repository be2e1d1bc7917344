"""Every key of the configuration and what it may be, as a page that is made of `scep_kem.config_keys`."""

from __future__ import annotations

from scep_kem import config_keys as keys

TABLES = {
    "ca": keys.CA,
    "server": keys.SERVER,
    "algorithms": keys.ALGORITHMS,
    "transactions": keys.TRANSACTIONS,
    "profiles.NAME": {name: key for name, key in keys.PROFILE.items() if key.kind is not dict or key.possible},
    "profiles.NAME.authorisation": keys.AUTHORISATION,
    "profiles.NAME.kem": keys.KEM,
}


def reference() -> str:
    """Markdown, a table for each table of the file."""
    parts = []
    for name, table in TABLES.items():
        rows = "".join(f"| `{key}` | {found.possible or found.type_name} |\n" for key, found in table.items())
        parts.append(f"### [{name}]\n\n| key | possible |\n|---|---|\n{rows}")
    return "\n".join(parts)
