"""Commands reach every generation of the CA: the current, the prepared, the previous and the retired."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ca.authority import Authority
from ca.sql_store import SqlStore
from scep.client import Issued
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from scep_kem.errors import UsageError
from tests.scep_kem.kit import Site, ca_pair, make_ca_dir, run


@pytest.fixture
def own(tmp_path: Path) -> CaDir:
    """A CA with a current, a previous and a prepared generation, each with every kind of RA certificate."""
    found = make_ca_dir(tmp_path / "own", pair=ca_pair("ec:P-256"), ra_key_type="ec:P-256", kems=("ml-kem-768",))
    found.prepare_rollover(now=utc_now())
    found.activate_rollover()
    found.prepare_rollover(now=utc_now())
    return found


@pytest.fixture
def store(own: CaDir) -> Iterator[SqlStore]:
    with own.open_store() as opened:
        yield opened


def ra(authority: Authority) -> set[int]:
    return {item.serial_number for role, item in authority.by_role if role != "CA"}


def on_crl(site: Site, authority: Authority) -> set[int]:
    crl = x509.load_der_x509_crl(site.http.get(f"/scep/crl/{authority.short_identifier}").data)
    assert crl.is_signature_valid(authority.ca.certificate.public_key())  # type: ignore[arg-type]
    return {item.serial_number for item in crl}


def test_a_kem_key_survives_the_rollover(own: CaDir) -> None:
    run("ca", "add-kem", "ml-kem-1024", "--dir", own.path).good()
    prepared = own.load()
    assert prepared.following is not None
    one, two = (item.ra_kem[-1] for item in (prepared.current, prepared.following))
    assert one.key.parameter_set.name == two.key.parameter_set.name == "ML-KEM-1024"
    assert ra(prepared.current).isdisjoint(ra(prepared.following))
    run("ca", "add-kem", "ml-kem-1024", "--dir", own.path).refused_in_one_line(2, "ML-KEM-1024 certificate already")


def test_a_kem_key_that_only_the_prepared_ca_lacks_can_be_added(own: CaDir) -> None:
    made = own.load().following
    assert made is not None
    for path in (own.path / f"ca-{made.short_identifier}").glob("ra-ml-kem-*"):
        path.unlink()
    before = ra(own.load().current)
    run("ca", "add-kem", "ml-kem-768", "--dir", own.path).good()
    found = own.load()
    assert found.following is not None and len(found.following.ra_kem) == 1 and ra(found.current) == before


def test_replacing_the_ra_replaces_it_everywhere(own: CaDir, store: SqlStore) -> None:
    before = own.load().all
    assert len(before) == 3
    run("ca", "replace-ra", "--reason", "keyCompromise", "--dir", own.path).good()
    site = Site(own, store=store)
    for old, new in zip(before, own.load().all, strict=True):
        assert old.identifier == new.identifier and ra(old).isdisjoint(ra(new)) and on_crl(site, old) == ra(old)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_replacing_the_ra_of_one(own: CaDir, index: int) -> None:
    before = own.load().all
    run("ca", "replace-ra", "--of", before[index].short_identifier, "--dir", own.path).good()
    changed = [ra(old) != ra(new) for old, new in zip(before, own.load().all, strict=True)]
    assert changed == [index == number for number in range(3)]


def test_a_retired_ca_opens_nothing_and_its_crl_is_served(tmp_path: Path) -> None:
    own = make_ca_dir(tmp_path / "own", pair=ca_pair("ec:P-256"), ra_key_type="ec:P-256", kems=("ml-kem-768",))
    with own.open_store() as store:
        site = Site(own, store=store)
        devices = [site.device(password=site.password(name), label=name, transaction_id=name) for name in ("1", "2")]
        in_time, late = (device.start() for device in devices)
        old = own.load().current
        own.prepare_rollover(now=utc_now())
        current = own.activate_rollover()
        site.send(in_time)
        (issued,) = store.certificates()
        said = run("ca", "retire", old.short_identifier, "--dir", own.path).good().out
        assert f"/scep/crl/{old.short_identifier}" in said
        found = own.load()
        assert found.previous == () and [item.identifier for item in found.retired] == [old.identifier]
        site.send(late)
        assert [item for item in store.certificates() if item.profile] == [issued]
        assert on_crl(site, old) == ra(old) and on_crl(site, current) == set() and issued.revoked_at is None
    assert f"retired CA, ID {old.short_identifier}" in run("ca", "show", "--dir", own.path).good().out


def test_only_a_previous_ca_can_be_retired(own: CaDir) -> None:
    current, previous, following = own.load().all
    for authority, said in (
        (current, "is the current CA"),
        (following, "is prepared (`ca rollover --abort` drops it)"),
    ):
        run("ca", "retire", authority.identifier, "--dir", own.path).refused_in_one_line(2, said, "only a previous one")
    run("ca", "retire", previous.identifier, "--dir", own.path).good()
    run("ca", "retire", previous.identifier, "--dir", own.path).refused_in_one_line(2, "is retired already")
    found = run("ca", "replace-ra", "--of", previous.identifier, "--dir", own.path)
    found.refused_in_one_line(2, "is retired")
    run("ca", "retire", "0" * 16, "--dir", own.path).refused_in_one_line(2, "no CA has the ID")


@pytest.mark.parametrize("years", [-1, 40])
def test_a_ca_that_is_not_valid_gets_no_ml_kem_key(own: CaDir, years: int) -> None:
    with pytest.raises(UsageError, match="not valid now, so it can certify no RA"):
        own.add_kem("ml-kem-1024", now=utc_now() + timedelta(days=365 * years))


@pytest.mark.parametrize("first", ["superseded", "keyCompromise"])
def test_an_attempt_that_was_stopped_does_not_keep_its_reason(
    own: CaDir, store: SqlStore, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """The key of a certificate that is superseded may be certified again."""
    old = own.load().current
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(CaDir, "_write_roles", stop)
        own.replace_ra(None, store=store, reason=first, now=utc_now())
    run("ca", "replace-ra", "--reason", "keyCompromise", "--dir", own.path).good()
    kept = [item for item in store.certificates() if item.serial in ra(old)]
    assert {item.reason for item in kept} == {"keyCompromise"}
    assert len(kept) == 3 and all(store.compromised(item.spki_hash) for item in kept)


def stop(*_arguments: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("command", [("replace-ra",), ("retire", "00")])
def test_no_certificate_of_an_ra_is_put_on_hold(own: CaDir, command: tuple[str, ...]) -> None:
    assert run("ca", *command, "--reason", "certificateHold", "--dir", own.path).code == 2


@pytest.mark.parametrize("reason", ["certificateHold", "removeFromCRL"])
@pytest.mark.parametrize("withdrawn", [False, True])
def test_nor_by_its_file_or_serial_number(own: CaDir, store: SqlStore, reason: str, withdrawn: bool) -> None:
    """Neither of an RA in use, whose database may not know its certificates, nor of one from before."""
    own.activate_rollover()
    if withdrawn:
        own.replace_ra(None, store=store, reason="superseded", now=utc_now())
        own.retire(own.load().previous[-1], store=store, reason="superseded", now=utc_now())
    files, before = sorted(own.path.glob("ca-*/ra-*.cert.pem")), store.certificates()
    assert len(files) > 8
    for given in [("--cert", file) for file in files] + [(f"{item.serial:x}",) for item in before]:
        refused = run("ca", "revoke", *given, "--reason", reason, "--dir", own.path)
        refused.refused_in_one_line(2, "no certificate of an RA is put on hold", "`ca replace-ra`")
    assert store.certificates() == before and bool(before) == withdrawn


def test_a_ca_does_not_revoke_its_own_certificate(own: CaDir) -> None:
    """It has signed it, but its CRL cannot say so (RFC 5280 section 6.3)."""
    for number, authority in enumerate(own.load().known):
        (own.path / f"given-{number}").write_bytes(authority.certificate.der)
        refused = run("ca", "revoke", "--cert", own.path / f"given-{number}", "--dir", own.path)
        refused.refused_in_one_line(2, "not a certificate that this CA has issued")


def test_a_certificate_that_is_given_is_the_only_one_revoked(own: CaDir, store: SqlStore) -> None:
    """Serial numbers are unique for one issuer; another generation may have used the same."""
    site = Site(own, store=store)
    assert isinstance(site.device(password=site.password()).enrol(), Issued)
    (issued,) = store.certificates()
    store.record(replace(issued, authority=own.load().previous[0].identifier))
    (own.path / "given").write_bytes(issued.der)
    run("ca", "revoke", "--cert", own.path / "given", "--dir", own.path).good()
    assert [item.authority for item in store.certificates() if item.revoked_at] == [issued.authority]
