"""The build of the document: the day changes nothing; whatever else is said fails it."""

from __future__ import annotations

from pathlib import Path

import pytest

from drafts.tools import build
from drafts.tools.build import BuildFailed

DATE = "2012-12-31"  # never within three days of today
TINY = """\
<rfc xmlns:xi="http://www.w3.org/2001/XInclude" version="3" category="info" ipr="trust200902" docName="draft-a-b-00"
  submissionType="IETF"><front><title>Tiny</title>
<author fullname="A"><organization>B</organization></author>
<date year="2012" month="12" day="31"/></front>
<middle><section><name>One</name><t>Text.{more}</t></section></middle></rfc>
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A document of another day, and the build as if it were its source."""
    monkeypatch.setattr(build, "OUTPUT", tmp_path)
    monkeypatch.setattr(build, "front_matter", {"date": DATE}.__getitem__)
    return tmp_path / "draft-a-b-00.xml"


def test_the_document_may_be_of_another_day_than_today(tiny: Path) -> None:
    tiny.write_text(TINY.format(more=""))
    build.xml2rfc(tiny, "--text")
    assert "31 December 2012" in tiny.with_suffix(".txt").read_text()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        # The silence is for the document's own date, so a front matter that says another is still told.
        ('year="2012"', 'year="2011"', r"The document date \(2011-12-31\) is more than 3 days away"),
        ("Text.", 'Text <xref target="nothing"/>.', "nothing"),
    ],
    ids=["date", "reference"],
)
def test_whatever_else_xml2rfc_says_fails_the_build(tiny: Path, old: str, new: str, complaint: str) -> None:
    tiny.write_text(TINY.format(more="").replace(old, new))
    with pytest.raises(BuildFailed, match=complaint):
        build.xml2rfc(tiny, "--text")


def nit(code: str, severity: str = "ValidationWarning") -> dict[str, str]:
    return {"severity": severity, "code": code, "desc": "Why."}


@pytest.mark.parametrize("code", ["DOC_DATE_IN_PAST", "DOC_DATE_IN_FUTURE"])
def test_what_idnits_says_of_the_day_is_not_even_counted(code: str) -> None:
    assert build.judge([nit(code)]) == build.judge([]) == "no error; no nit"


@pytest.mark.parametrize(
    "found",
    [nit("MISSING_DOC_DATE"), nit("DOC_DATE_IN_PAST", "ValidationError"), nit("DEPRECATED_ELEMENT", "ValidationError")],
    ids=str,
)
def test_whatever_else_idnits_says_fails_the_build(found: dict[str, str]) -> None:
    with pytest.raises(BuildFailed, match=found["code"]):
        build.judge([nit("DOC_DATE_IN_PAST"), found])


def test_expected_warnings_are_counted() -> None:
    found = [nit("DEPRECATED_ELEMENT"), nit("DEPRECATED_ELEMENT"), nit("SOMETHING", "ValidationComment")]
    assert build.judge(found) == "no error; 1 Comment SOMETHING, 2 Warning DEPRECATED_ELEMENT"
