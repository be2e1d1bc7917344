"""scep_kem/server/app.py and scep_kem/server/scep.py: SCEP over HTTP (RFC 8894 section 4) as Flask
sees it: paths, operations, what is refused.

What only a real connection shows (chunks, HTTP/1.0, limits of the server) is in test_http.py; what pkiMessages mean is
in tests/scep/.
"""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509

from ca.store import State
from scep.attributes import FailInfo
from scep.ca_certificates import CaCertificates
from scep.client import (
    Issued,
    Refused,
    StillPending,
)
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from tests.scep_kem.kit import CONFIG, Site, make_ca_dir, one_line

# What each of these is followed by is SCEPPATH, which section 4.1 says to ignore.
DEFAULT_PATHS = [
    "/",
    "/scep",
    "/scep/",
    "/scep/default",
    "/scep/default/",
    "/scep/pkiclient.exe",
    "/scep/default/pkiclient.exe",
    "/scep/cgi-bin/pkiclient.exe",
    "/scep/cgi-bin/pkiclient.exe/pkiclient.exe",
    "/cgi-bin/pkiclient.exe",
    "/cgi-bin/pkiclient.exe/pkiclient.exe",
    "/cgi-bin",
    "/certsrv/mscep/mscep.dll",
    "/certsrv/mscep/mscep.dll/pkiclient.exe",
    "/certsrv/mscep/",
    "/pkiclient.exe",
    "/mscep.dll",
    "/scep//pkiclient.exe",
]
NAMED_PATHS = [
    "/scep/manual",
    "/scep/manual/",
    "/scep/manual/pkiclient.exe",
    "/scep/manual/cgi-bin/pkiclient.exe",
    "/scep/manual/certsrv/mscep/mscep.dll/pkiclient.exe",
    "/scep/manual/anything/at/all",
    "/scep/manual/%C3%BC",
]


def query(message: bytes) -> str:
    """The query of a PKIOperation by GET, as section 4.1 has it."""
    return f"operation=PKIOperation&message={quote(base64.b64encode(message), safe='')}"


# Paths


@pytest.mark.parametrize("path", DEFAULT_PATHS)
def test_4_1_every_sceppath_without_a_name_is_the_default_profile(site: Site, path: str) -> None:
    answer = site.http.get(f"{path}?operation=GetCACaps")
    assert answer.status_code == 200 and b"Renewal" in answer.data
    assert b"profile <code>default</code>" in site.http.get(path).data


@pytest.mark.parametrize("path", NAMED_PATHS)
def test_4_1_every_sceppath_below_a_name_is_that_profile(site: Site, path: str) -> None:
    assert site.http.get(f"{path}?operation=GetCACert").status_code == 200
    assert b"profile <code>manual</code>" in site.http.get(path).data


@pytest.mark.parametrize("path", ["/scep/manual", "/scep/manual/pkiclient.exe", "/scep/manual/cgi-bin/pkiclient.exe"])
def test_a_request_reaches_the_profile_that_its_path_names(ca_dir: CaDir, path: str) -> None:
    site = Site(ca_dir, path=path)
    assert isinstance(site.device().enrol(), StillPending)
    (waiting,) = site.service.store.transactions(State.AWAITING_APPROVAL)
    assert waiting.profile == "manual"


@pytest.mark.parametrize(
    "path",
    [
        "/scep/unknown",
        "/scep/unknown/pkiclient.exe",
        "/SCEP",
        "/other",
        "/scepX",
        "/scep/Manual",
        "/scep/%0aevil",
        "/%ff",
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_an_unknown_profile_is_404_in_one_line(site: Site, path: str, method: str) -> None:
    one_line(getattr(site.http, method)(f"{path}?operation=GetCACaps"), 404)


def test_a_configuration_without_a_default_profile_has_none(tmp_path: Path) -> None:
    site = Site(make_ca_dir(tmp_path / "ca", '[ca]\ndir = "."\n[profiles.only]\n'))
    one_line(site.get("operation=GetCACaps"), 404, "there is no SCEP profile at /scep")
    assert site.get("operation=GetCACaps", "/scep/only").status_code == 200


# GetCACaps, GetCACert, GetNextCACert


RFC_8894 = b"AES\nGetNextCACert\nPOSTPKIOperation\nSCEPStandard\nSHA-256\nSHA-384\nSHA-512\nRenewal\n"


@pytest.mark.parametrize(
    ("path", "body"), [("/scep/classic", RFC_8894), ("/scep", RFC_8894 + b"KEM-PoP\nAES-GCM\nResponseKey\nML-DSA\n")]
)
def test_3_5_2_getcacaps_is_exactly_the_keywords_in_text_plain_without_charset(
    site: Site, path: str, body: bytes
) -> None:
    answer = site.get("operation=GetCACaps", path)
    assert answer.data == body and answer.headers["Content-Type"] == "text/plain"


def test_3_5_2_renewal_is_listed_only_where_it_is_enabled(site: Site) -> None:
    assert b"Renewal" not in site.get("operation=GetCACaps", "/scep/closed").data


def test_3_5_2_legacy_algorithms_are_listed_only_under_the_legacy_policy(tmp_path: Path) -> None:
    site = Site(make_ca_dir(tmp_path / "ca", f"{CONFIG}[algorithms]\nlegacy = true\n"))
    assert {b"DES3", b"SHA-1"} <= set(site.get("operation=GetCACaps").data.split())


@pytest.mark.parametrize("operation", ["GetCACaps", "GetCACert"])
@pytest.mark.parametrize("message", ["", "&message=", "&message=default", "&message=0", "&message=CN%3DMy+CA%2F1"])
def test_4_2_the_message_of_a_get_is_ignored(site: Site, operation: str, message: str) -> None:
    """Windows sends "default", certmonger counts up from 0, Cisco sends its name for the CA."""
    assert site.get(f"operation={operation}{message}").data == site.get(f"operation={operation}").data


@pytest.mark.parametrize("operation", ["getcacaps", "GETCACAPS", "GetCAcaps"])
def test_the_case_of_the_operation_does_not_matter(site: Site, operation: str) -> None:
    assert site.get(f"operation={operation}").status_code == 200


def test_4_2_1_1_a_ca_alone_is_one_certificate_in_der(site: Site) -> None:
    answer = site.get("operation=GetCACert")
    assert answer.headers["Content-Type"] == "application/x-x509-ca-cert"
    assert x509.load_der_x509_certificate(answer.data) == site.service.generations.current.ca.certificate


def test_4_2_1_2_a_ca_with_an_ra_is_a_degenerate_signed_data(tmp_path: Path) -> None:
    site = Site(make_ca_dir(tmp_path / "ca", ra_key_type="ec:P-256"))
    answer = site.get("operation=GetCACert")
    assert answer.headers["Content-Type"] == "application/x-x509-ca-ra-cert"
    assert len(CaCertificates.decode(answer.data, fingerprint=None, now=utc_now()).all) == 3
    assert isinstance(site.device(password=site.password()).enrol(), Issued)


def test_4_7_without_a_rollover_there_is_no_next_certificate(site: Site) -> None:
    one_line(site.get("operation=GetNextCACert"), 404, "no next CA certificate is prepared")


@pytest.mark.parametrize("operation", ["GetCRL", "Unknown", "PKIOperation%00", "%FF"])
def test_an_unknown_operation_is_refused_with_the_known_ones(site: Site, operation: str) -> None:
    one_line(site.get(f"operation={operation}"), 400, "GetCACaps, GetCACert, GetNextCACert or PKIOperation")


# PKIOperation by POST


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/x-pki-message"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "text/plain; charset=utf-8"},
        {"Content-Type": ""},
    ],
    ids=str,
)
def test_4_3_a_post_is_read_as_it_is_whatever_its_content_type(site: Site, headers: dict[str, str]) -> None:
    """strongSwan sends none, curl and others send a form's."""
    device = site.device(password=site.password())
    answer = site.post(device.start(), headers=headers)
    assert answer.headers["Content-Type"] == "application/x-pki-message"
    assert isinstance(device.enrolment.receive(answer.data), Issued)


@pytest.mark.parametrize(
    "tail", ["", "?", "?operation=", "?operation=pkioperation", "?operation=PKIOperation&message="]
)
def test_4_3_a_post_needs_no_operation(site: Site, tail: str) -> None:
    device = site.device(password=site.password())
    answer = site.http.post(f"/scep{tail}", data=device.start())
    assert isinstance(device.enrolment.receive(answer.data), Issued)


@pytest.mark.parametrize("operation", ["GetCACert", "GetCACaps", "Unknown"])
def test_4_3_a_post_is_for_pkioperation_only(site: Site, operation: str) -> None:
    one_line(site.http.post(f"/scep?operation={operation}", data=b"x"), 400, "POST is for operation=PKIOperation")


# PKIOperation by GET


def wrapped(message: bytes) -> str:
    """strongSwan and Cisco wrap the base64 and escape the line ends."""
    text = base64.b64encode(message).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return quote("\n".join(lines) + "\n", safe="")


GET_FORMS = {
    "all escaped (RFC 8894)": lambda message: quote(base64.b64encode(message), safe=""),
    "nothing escaped": lambda message: base64.b64encode(message).decode(),
    "only = escaped (Apple)": lambda message: base64.b64encode(message).decode().replace("=", "%3D"),
    "only + escaped": lambda message: base64.b64encode(message).decode().replace("+", "%2B"),
    "no padding": lambda message: quote(base64.b64encode(message).rstrip(b"="), safe=""),
    "LF every 64 (strongSwan)": wrapped,
    "CRLF every 64": lambda message: wrapped(message).replace("%0A", "%0D%0A"),
    "base64url (micromdm)": lambda message: base64.urlsafe_b64encode(message).decode(),
    "base64url without padding": lambda message: base64.urlsafe_b64encode(message).decode().rstrip("="),
}


@pytest.mark.parametrize("form", GET_FORMS)
def test_4_1_a_get_is_read_in_every_form_that_clients_send(site: Site, form: str) -> None:
    for attempt in range(3):  # some message has every character and padding that matters
        password = site.password(f"password {attempt}")
        device = site.device(password=password, transaction_id=f"{form[:9]}-{attempt}".replace("+", "").strip())
        answer = site.get(f"operation=PKIOperation&message={GET_FORMS[form](device.start())}")
        assert answer.headers["Content-Type"] == "application/x-pki-message", answer.text
        assert isinstance(device.enrolment.receive(answer.data), Issued)


@pytest.mark.parametrize("message", ["%21%21%21%21", "AAAA%3DAAAA", "A", "%C3%A4%C3%B6", "%FF", "AA.A", "AA%00A"])
def test_4_1_a_get_that_is_no_base64_is_refused_with_the_section(site: Site, message: str) -> None:
    one_line(site.get(f"operation=PKIOperation&message={message}"), 400, "message is not base64", "section 4.1")


IN_PLACE_OF_BASE64 = {
    "hex text": lambda message: message.hex(),
    "PEM (CMS)": lambda message: "-----BEGIN CMS-----\n" + base64.encodebytes(message).decode() + "-----END CMS-----\n",
    "a JSON string": lambda message: f'"{base64.b64encode(message).decode()}"',
    "JSON": lambda message: f'{{"message": "{base64.b64encode(message).decode()}"}}',
    "an S/MIME message": lambda message: "MIME-Version: 1.0\n\n" + base64.encodebytes(message).decode(),
}


@pytest.mark.parametrize("form", IN_PLACE_OF_BASE64)
def test_4_1_a_get_with_another_form_than_base64_is_told_which(site: Site, form: str) -> None:
    """Characters of hex and PEM are ones of base64."""
    text = quote(IN_PLACE_OF_BASE64[form](site.device().start()), safe="")
    answer = site.get(f"operation=PKIOperation&message={text}")
    one_line(answer, 400, f"message is {form}; it must be base64 of the DER octets (RFC 8894 section 4.1)")


def test_4_1_a_get_with_base64_of_pem_is_told_so(site: Site) -> None:
    text = quote(base64.b64encode(b"-----BEGIN CMS-----\nMIIB\n-----END CMS-----\n"), safe="")
    answer = site.get(f"operation=PKIOperation&message={text}")
    one_line(answer, 400, "this is PEM (CMS); send the DER octets as they are")


@pytest.mark.parametrize("tail", ["", "&message", "&message=", "&message=%3D%3D", "&message=+", "&Message=AAAA"])
def test_4_1_a_get_without_a_message_is_refused(site: Site, tail: str) -> None:
    answer = site.get(f"operation=PKIOperation{tail}")
    one_line(answer, 400)


def test_4_1_an_empty_get_message_says_so(site: Site) -> None:
    one_line(site.get("operation=PKIOperation&message="), 400, "the request has no message")


# What cannot be answered


@pytest.mark.parametrize(
    "body",
    [b"garbage", b"\x30", b"\x30\x80\x00\x00", b"\x30\x03\x02\x01\x01", b"\xff" * 1000, b"<html>\n", b"\n\n\n"],
    ids=repr,
)
def test_garbage_is_400_with_one_line_by_post_and_get(site: Site, log: pytest.LogCaptureFixture, body: bytes) -> None:
    for answer in (site.post(body), site.get(query(body))):
        one_line(answer, 400, "not a pkiMessage: ")
    assert [record.levelname for record in log.records] == ["INFO", "INFO"]
    for record in log.records:
        assert record.getMessage().startswith('request refused text="not a pkiMessage: ') and not record.exc_info
        assert record.getMessage().isprintable()


def test_an_empty_post_is_400(site: Site) -> None:
    one_line(site.post(b""), 400, "the request has no message")


def test_a_body_of_max_body_passes_and_one_octet_more_is_413_in_one_line(tmp_path: Path) -> None:
    site = Site(make_ca_dir(tmp_path / "ca", f"{CONFIG}[server]\nmax_body = 8192\n"))
    one_line(site.post(b"x" * 8192), 400, "not a pkiMessage")
    one_line(site.post(b"x" * 8193), 413)


def test_3_3_2_a_failure_is_http_200_with_a_signed_certrep(site: Site) -> None:
    outcome = site.device(password="nobody knows it").enrol()
    assert isinstance(outcome, Refused) and outcome.fail_info is FailInfo.badRequest


# Methods


@pytest.mark.parametrize("path", ["/scep", "/scep/crl", "/scep/ca.cer", "/scep?operation=GetCACert"])
def test_head_is_get_without_the_body(site: Site, path: str) -> None:
    head, get = site.http.head(path), site.http.get(path)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert head.headers["Content-Length"] == str(len(get.data))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_405_and_say_which_there_are(site: Site, method: str) -> None:
    """RFC 9110 section 15.5.6: Allow is a MUST."""
    answer = site.http.open("/scep?operation=PKIOperation", method=method, data=b"x")
    one_line(answer, 405, "SCEP knows GET and POST")
    assert {"GET", "POST"} <= set(answer.headers["Allow"].replace(" ", "").split(","))


def test_section_3_a_body_and_a_get_message_that_are_no_der_are_told_what_to_send(site: Site) -> None:
    csr = site.device().request.der
    one_line(site.post(csr), 400, "this is a PKCS #10 request alone; SCEP has it in a pkiMessage")
    one_line(
        site.post(base64.b64encode(csr)), 400, "this is base64 text of a PKCS #10 request alone; send the DER octets"
    )
    one_line(site.get("operation=PKIOperation&message=MIIB%252BAA"), 400, "message is percent-encoded twice")
    one_line(site.get("operation=PKIOperation&message=%%%"), 400, "message has a % without two hex digits behind it")
