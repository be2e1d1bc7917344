"""The one page for people: what this URL is, and how to use it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography import x509

from pkix import oids
from scep.responder import Responder

if TYPE_CHECKING:
    from scep_kem.server.service import Service

_RSA = x509.ObjectIdentifier(oids.RSA_ENCRYPTION.dotted_string)
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>SCEP responder: {profile}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
h1 {{ font-size: 1.4rem; }} h2 {{ font-size: 1.1rem; margin-top: 2rem; }}
code, pre {{ font: 14px/1.45 ui-monospace, monospace; background: #f3f3f3; border-radius: 4px; }}
code {{ padding: 0 .25rem; overflow-wrap: anywhere; }} pre {{ padding: .75rem; overflow-x: auto; }}
td {{ padding: .15rem 1rem .15rem 0; vertical-align: top; }}
</style>
<h1>SCEP responder (RFC 8894), profile <code>{profile}</code></h1>
<p>This address speaks SCEP. Point a client at <code>{url}</code>.</p>
<table>
<tr><td>CA</td><td>{subject}</td></tr>
<tr><td>SHA-256 fingerprint</td><td><code>{fingerprint}</code></td></tr>
<tr><td>Valid until</td><td>{not_after:%Y-%m-%d}</td></tr>
<tr><td>Capabilities</td><td>{capabilities}</td></tr>
<tr><td>Authorised by</td><td>{methods}</td></tr>
</table>
<p>Files: <a href="{base}?operation=GetCACert">GetCACert</a> · <a href="{base}?operation=GetCACaps">GetCACaps</a> ·
<a href="{base}/ca.cer">CA certificate</a> · <a href="{base}/crl">CRL</a></p>
<h2>Enrol with this project's client</h2>
<pre>scep-kem enroll --url {url} --ca-fingerprint {fingerprint} \\
    --key device.key --subject "CN=device" --challenge PASSWORD --out device.pem{kem}</pre>
{strongswan}</html>
"""

# Shown where ML-KEM keys are certified, and where the RA or the CA has an RSA key to encrypt to.
_KEM = "\n\n# for a device whose only key is an ML-KEM key, add\n    --key-type {kem}"
_REQUIRE_KEM = " --require-kem"  # if the RA has an ML-KEM key
_STRONGSWAN = """<h2>Enrol with strongSwan</h2>
<pre>pki --scepca --url {url} --caout ca.pem --outform pem
pki --gen --type rsa --size 2048 --outform pem &gt; device.key
pki --scep --url {url} --in device.key --dn "CN=device" --password PASSWORD \\
    --cacert-enc ca.pem --cacert-sig ca.pem --outform pem &gt; device.pem</pre>
"""


def index_page(service: Service, responder: Responder, root: str) -> str:
    """HTML for a profile of the application at the URL `root`, which ends in a slash.

    People copy the commands into a shell, so nothing of the path that was asked for is repeated in them.
    """
    authority = responder.current
    policy = service.config.profiles[responder.profile.name].authorisation
    webhook = service.config.profiles[responder.profile.name].webhook
    methods = [
        name
        for name, enabled in (
            ("challenge password", policy.challenge_password),
            ("renewal with a valid certificate", policy.renewal),
            ("webhook", webhook is not None),
            ("manual approval", policy.manual),
        )
        if enabled
    ]
    capabilities = responder.get_ca_caps().decode().split()
    url = f"{root}scep" if responder.profile.name == "default" else f"{root}scep/{responder.profile.name}"
    held = [name for name in responder.certified_kems if name in capabilities]
    kems = (held or responder.certified_kems) if "KEM-PoP" in capabilities else ()
    rsa = authority.ra_decryption is not None or authority.ca.certificate.public_key_algorithm_oid == _RSA
    return _PAGE.format(
        kem=_KEM.format(kem=kems[0].lower()) + (_REQUIRE_KEM if held else "") if kems else "",
        strongswan=_STRONGSWAN.format(url=escape(url)) if rsa else "",
        profile=escape(responder.profile.name),
        url=escape(url),
        base=escape(urlsplit(url).path),
        subject=escape(authority.ca.certificate.subject.rfc4514_string()),
        fingerprint=authority.fingerprint,
        not_after=authority.ca.certificate.not_valid_after_utc,
        capabilities=escape(", ".join(capabilities)),
        methods=escape(", ".join(methods) or "nothing: no certificate is issued"),
    )
