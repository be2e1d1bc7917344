"""Names that are the same by RFC 5280 section 7.1, and names that are not."""

from __future__ import annotations

import unicodedata

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from pkix import names
from pkix.asn1 import Oid, any_of, elements, tag_of, wrap
from pkix.attribute_types import KEYWORDS
from pkix.errors import Malformed
from pkix.names import (
    UnknownKeyword,
    comparable,
    comparable_der,
    is_meant,
    is_seen,
    name_text,
    parse_name,
    prepared,
    same_name,
)
from tests.world import name


def common(value: str, kind: _ASN1Type = _ASN1Type.UTF8String) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, value, kind)])


@pytest.mark.parametrize(
    "other",
    ["DEVICE one", " device one", "device one ", "device  one", "device\tone", "de\u00advice one", "de\u200bvice one",
     "de\ufe0fvice\u00a0one", "\uff44evice one", "device\none"],
    ids=ascii,
)  # fmt: skip
def test_the_same_name(other: str) -> None:
    assert comparable(common(other)) == comparable(common("device one"))


def ranges(*bounds: tuple[int, int]) -> list[int]:
    return [point for first, last in bounds for point in range(first, last + 1)]


# RFC 4518 section 2.2, and Default_Ignorable_Code_Point of the Unicode Character Database (DerivedCoreProperties); the
# last line is of characters that have no shape of their own.
NOTHING = ranges(
    (0x00, 0x08), (0x0E, 0x1B), (0x7F, 0x84), (0x86, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C),
    (0x6DD, 0x6DD), (0x70F, 0x70F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x1806, 0x1806), (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFC), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
    (0x1107F, 0x1107F), (0x13430, 0x13440), (0x16FE4, 0x16FE4), (0x1BC9D, 0x1BC9D), (0x1D159, 0x1D159),
)  # fmt: skip
# Indic_Syllabic_Category=Invisible_Stacker; prefixed forms of RA; Tifinagh's and Tulu-Tigalari's joiners.
JOINERS = [0x1039, 0x17D2, 0x1A60, 0x1BAB, 0xAAF6, 0x10A3F, 0x11133, 0x1193E, 0x11A47, 0x11A99, 0x11D45, 0x11D97,
           0x11F42, 0x113D1, 0x11941, 0x11D46, 0x11F02, 0x2D7F, 0x113D0]  # fmt: skip
BLANKS = ranges((0x09, 0x0D), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029),
                (0x13441, 0x13442), (0x202F, 0x202F), (0x205F, 0x205F), (0x2800, 0x2800), (0x3000, 0x3000))  # fmt: skip


def test_what_nobody_sees_is_nothing() -> None:
    told = [point for point in NOTHING + JOINERS if prepared(f"de{chr(point)}vice") != "device" or is_seen(chr(point))]
    assert list(map(hex, told)) == []


@pytest.mark.parametrize("point", [point for point in JOINERS if unicodedata.name(chr(point), "")], ids=hex)
def test_a_joiner_shows_only_beside_a_letter_of_its_script(point: int) -> None:
    """In Khmer and Burmese, words differ by it."""
    joiner, script = chr(point), unicodedata.name(chr(point)).split()[0]
    block = range(point & ~0xFF, point | 0xFF)
    letter = next(
        chr(item) for item in block
        if unicodedata.name(chr(item), "").startswith(f"{script} ") and unicodedata.category(chr(item)) == "Lo"
        and item not in JOINERS
    )  # fmt: skip
    assert prepared(f"{letter}{joiner}{letter}") != prepared(letter * 2) != prepared(f"{joiner}{letter}{letter}")
    for text in (f"{joiner}a", f"a{joiner}", f"a{joiner}{joiner}b", f"\u0915{joiner}\u0915"):
        assert prepared(text) == prepared(text.replace(joiner, ""))
    assert prepared(f"a{letter}\u0323{joiner}") == prepared(prepared(f"a{letter}\u0323{joiner}"))


def test_blanks_of_every_kind_are_blanks() -> None:
    told = [point for point in BLANKS if prepared(f" a{chr(point)}{chr(point)}b") != "a b" or is_seen(chr(point))]
    assert list(map(hex, told)) == []


@pytest.mark.parametrize("character", "a0ö-.م\u0301\u1100\u2801\u180a\u1810\ufffd\U000e1000", ids=ascii)
def test_what_is_seen_stays(character: str) -> None:
    assert comparable(common(f"de{character}vice")) != comparable(common("device"))


def test_the_string_type_makes_no_difference() -> None:
    assert comparable(common("device", _ASN1Type.PrintableString)) == comparable(common("device"))


@pytest.mark.parametrize("other", ["deviceone", "device-one", "device one.", "device öne"], ids=ascii)
def test_another_name(other: str) -> None:
    assert comparable(common(other)) != comparable(common("device one"))


def test_sharp_s_and_accents_fold_as_unicode_says() -> None:
    assert comparable(common("Straße")) == comparable(common("STRASSE"))
    assert comparable(common("Ge\u0301rard")) == comparable(common("GÉRARD"))


def test_the_order_of_rdns_counts_and_that_inside_one_does_not() -> None:
    assert comparable(name("CN=a,O=b")) != comparable(name("O=b,CN=a"))
    assert comparable(name("CN=a+O=b")) == comparable(name("O=b+CN=a"))
    assert comparable(name("CN=a+O=b")) != comparable(name("CN=a,O=b"))


def test_the_attribute_type_counts() -> None:
    assert comparable(name("CN=a")) != comparable(name("O=a"))


def test_no_value_can_pose_as_several_attributes() -> None:
    forged = common("a,2.5.4.10=b")
    assert comparable(forged) != comparable(name("O=b,CN=a"))
    assert comparable(common("a+2.5.4.10=b")) != comparable(name("CN=a+O=b"))
    assert comparable(common("a\\,2.5.4.10=b")) != comparable(common("a,2.5.4.10=b"))
    assert comparable(common("a,2.5.4.10=b")) != comparable(x509.Name([*common("a\\"), *name("O=b")]))
    assert comparable(common("a+2.5.4.4=b")) != comparable(name("CN=a+2.5.4.4=b"))


def test_what_normalisation_reorders_is_no_letter_beside_a_joiner() -> None:
    assert prepared("a\u17dd\u17d2") == prepared(prepared("a\u17dd\u17d2")) == "a\u17dd"


@given(st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=20))
def test_preparing_twice_changes_nothing(text: str) -> None:
    assert prepared(prepared(text)) == prepared(text)


# Issue 10, section 1: DER as peers write it, and text as people do


@pytest.mark.parametrize(
    "subject",
    [name("CN=device,O=Example"), name("CN=a+O=b,C=DE"), common("Gérard"), common("x\u200b Y"), common("a,b+c=d\\"),
     common("DEVICE", _ASN1Type.BMPString), common("device", _ASN1Type.PrintableString), x509.Name([]),
     x509.Name([x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, b"\0ab", _ASN1Type.BitString)])],
    ids=str,
)  # fmt: skip
def test_der_compares_as_the_name_in_it(subject: x509.Name) -> None:
    assert comparable_der(subject.public_bytes()) == comparable(subject)


def test_10_1_names_are_the_same_in_other_octets() -> None:
    one, other = common("Device", _ASN1Type.PrintableString).public_bytes(), common("device").public_bytes()
    assert one != other
    assert same_name(one, other)
    assert not same_name(one, common("device2").public_bytes())


@pytest.mark.parametrize("junk", [b"", b"\x05\x00", b"\x30", b"\x30\x02\x05\x00", b"\x30\x04\x31\x02\x30\x00"])
def test_what_is_no_name_is_the_same_as_itself_only(junk: bytes) -> None:
    assert same_name(junk, junk)
    assert not same_name(junk, b"\x05\x01")
    assert not same_name(junk, common("device").public_bytes())


def attribute(value: bytes, kind: bytes = b"\x06\x03\x55\x04\x2d") -> bytes:
    return wrap(0x30, kind + value)


def test_10_1_another_structure_is_another_name() -> None:
    """None that is no Name, and no value of another type, is taken for ours."""
    ours = common("device").public_bytes()
    rdn = elements(any_of(ours))[0]
    pair = elements(rdn)[0]
    assert same_name(wrap(0x30, wrap(0x31, wrap(0x30, bytes(pair.data)))), ours)
    for other in (wrap(0x31, bytes(any_of(ours).data)), wrap(0x04, bytes(any_of(ours).data)),
                  wrap(0x30, wrap(0x30, bytes(rdn.data))), wrap(0x30, wrap(0x31, wrap(0x31, bytes(pair.data)))),
                  wrap(0x30, wrap(0x31, wrap(0x30, bytes(pair.data) + b"\x05\x00")))):  # fmt: skip
        assert comparable_der(other) is None
    assert not same_name(b"\x30\x00", b"\x30\x02\x31\x00")
    strings = [wrap(0x30, wrap(0x31, attribute(bytes((tag, 2)) + b"\0a"))) for tag in (0x02, 0x03, 0x04, 0x0C)]
    assert len({comparable_der(item) for item in strings}) == 4
    assert comparable_der(strings[1]) == "2.5.4.45=\x010061"


@pytest.mark.parametrize("size", [4096, 4097])
def test_10_1_no_longer_name_is_compared_but_by_its_octets(size: int) -> None:
    one, other = (wrap(0x30, wrap(0x31, attribute(wrap(0x0C, item * (size - 21))))) for item in (b"a", b"A"))
    assert len(one) == len(other) == size
    assert same_name(one, one)
    assert same_name(one, other) is (size == 4096)


@pytest.mark.parametrize("value", [b"\x0c\x01\xff", b"\x1e\x01a", b"\x1e\x02\xd8\x00", b"\x13\x01\xe9"], ids=bytes.hex)
def test_10_1_what_is_not_text_of_its_type_is_no_name(value: bytes) -> None:
    assert comparable_der(wrap(0x30, wrap(0x31, attribute(value)))) is None


def test_a_bit_string_is_no_text() -> None:
    octets = x509.Name([x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, b"\xab", _ASN1Type.BitString)])
    text = x509.Name([x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, "ab")])
    assert comparable(octets) != comparable(text)


def test_10_1_a_written_name_is_meant_in_both_directions() -> None:
    written = parse_name("CN=device, O=Example")
    assert is_meant(written, name("CN=device,O=Example"))
    assert is_meant(written, name("O=EXAMPLE,CN=Device"))
    assert not is_meant(written, name("CN=device,O=Example,C=DE"))
    assert not is_meant(written, name("CN=device"))
    three = parse_name("CN=a,OU=b,O=c")
    assert not is_meant(three, name("OU=b,CN=a,O=c"))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("CN=device, O=Example", "CN=device,O=Example"),
        (" cn = device , o = Example ", "CN=device,O=Example"),
        ("commonName=a + serialnumber=7,E=a@b.example", "CN=a+serialNumber=7,emailAddress=a@b.example"),
        ("GN=a,givenName=b,SN=c,s=d,T=e", "GN=a,GN=b,SN=c,ST=d,title=e"),
        ("unstructuredname=router,UnstructuredAddress=a", "unstructuredName=router,unstructuredAddress=a"),
        (r"CN=a\,b\+c\\,O=\ x\ ", r"CN=a\,b\+c\\,O=\ x\ "),
        (r"CN=Ger\C3\A4t", "CN=Gerät"),
        ("2.5.4.3=x,1.2.3.4=y", "CN=x,1.2.3.4=y"),
        ("CN=a=b", "CN=a=b"),
        ("C=DEU", "C=DEU"),  # what is wrong in it is for `pkix.subjects` to say
        ("CN=\u00a0#ab", "CN=\u00a0#ab"),
        (r"CN=\\ab,O=\20\#0c", r"CN=\\ab,O=\ #0c"),
        (r"CN=a\;b\<", r"CN=a\;b\<"),
        ("x500UniqueIdentifier=#00ab", "x500UniqueIdentifier=#00ab"),
        ("street=Main 1,DC=example,UID=u", "street=Main 1,DC=example,UID=u"),
        # Issue 11, section 3: what openssl, Windows and Java print and take
        ("CN = x , O = y", "CN=x,O=y"),
        ("OID.2.5.4.3=x,oid.1.2.3.4=y", "CN=x,1.2.3.4=y"),
        ("SERIALNUMBER=7,EMAILADDRESS=a@b,Email=c@d", "serialNumber=7,emailAddress=a@b,emailAddress=c@d"),
        ("surname=a,G=b,I=c,GENERATION=d,DNQ=e,SP=f", "SN=a,GN=b,initials=c,generationQualifier=d,dnQualifier=e,ST=f"),
        ("postalcode=1,NAME=b,Pseudonym=c,ORGANIZATIONIDENTIFIER=d,STREET=e",
         "postalCode=1,name=b,pseudonym=c,organizationIdentifier=d,street=e"),
        ('CN="Example, Inc." , O="a+b;c/d=e \\"f\\" #"', r'CN=Example\, Inc.,O=a\+b\;c/d=e \"f\" #'),
        (r'CN=the "device",O=x', r'CN=the \"device\",O=x'),
        ("O=a/b,CN=x", "O=a/b,CN=x"),
        ("/C=DE/O=Example/CN=device", "CN=device,O=Example,C=DE"),
        ('/O="d"/CN=x', r'CN=x,O=\"d\"'),  # as openssl req -subj reads it
        (" / O = Example, Inc. / CN = device + serialNumber = 7 ", r"CN=device+serialNumber=7,O=Example\, Inc."),
        (r'/O=a\/b\+c;"d"/CN=x', r'CN=x,O=a/b\+c\;\"d\"'),
    ],
)  # fmt: skip
def test_10_1_names_are_read_as_people_write_them(text: str, canonical: str) -> None:
    found = parse_name(text)
    assert name_text(found) == canonical
    assert parse_name(canonical) == found


EMPTY, NO_SIGN = "a part is empty: a , or + too many", " has no =; a , or + in a value is written \\, or \\+"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", EMPTY),
        (" ", EMPTY),
        ("CN=a,", EMPTY),
        ("CN=a,,O=b", EMPTY),
        ("CN=a+", EMPTY),
        ("/", "a part is empty: a / or + too many"),
        ("/CN=a//O=b", "a part is empty: a / or + too many"),
        ("device", f"'device'{NO_SIGN}"),
        ("O=Example, Inc. ,CN=x", f"'Inc.'{NO_SIGN}"),
        ("CN=" + "a,b" * 100, "'b" + "a'" + NO_SIGN),
        ("CN=x," + "a" * 100, f"'{'a' * 80}…'{NO_SIGN}"),
        ("/CN=a/b", "'b' has no =; a / or + in a value is written \\/ or \\+"),
        ("CN=", "CN has no value"),
        ("CN= ,O=x", "CN has no value"),
        ('CN=""', "CN has no value"),
        ("=a", "'=a' begins with neither a keyword nor an OID"),
        ("C N=a", "'C N=a' begins with neither a keyword nor an OID"),
        ("CN=a\\", "a \\ at the end escapes nothing"),
        (r"CN=a,O=\FF", "O: the octets behind \\ are not UTF-8"),
        ("x500UniqueIdentifier=#zz", "x500UniqueIdentifier: there is no hex behind #"),
        ("CN=#0c0161", "CN begins with #, which is for octets in hex; a value is written \\#"),
        ("O=b, CN=a ;C=DE", "an unescaped ; behind 'CN=a'; write , between parts, \\; in a value"),
        ('CN="a', """'"a' begins with a quotation mark, and does not end with the next one"""),
        ('CN="a"b"', """'"a"b"' begins with a quotation mark, and does not end with the next one"""),
        ("CN=a+O=b+cn=c", "cn is there twice in one part, joined by +"),
    ],
    ids=ascii,
)
def test_11_3_what_is_no_written_name_names_the_part_and_the_rule(text: str, fault: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse_name(text)
    assert refused.value.text == fault


@pytest.mark.parametrize("word", ["XX", "2", "2.5.4.3.", "OID.", "1.2.3-4", "9.9.9", "OIDD.2.5.4.3"])
def test_11_3_what_is_no_attribute_is_named(word: str) -> None:
    with pytest.raises(UnknownKeyword) as refused:
        parse_name(f"CN=a,{word}=b")
    assert refused.value.word == word and refused.value.text == f"there is no attribute {word!r}"


PRINTABLE = ["C", "jurisdictionC", "serialNumber", "dnQualifier"]  # RFC 5280 appendix A.1, X.520, EV guidelines


@pytest.mark.parametrize("word", KEYWORDS.values())
def test_11_3_each_value_is_of_the_string_type_that_its_attribute_has(word: str) -> None:
    """DC and emailAddress are IA5String (RFC 4519 section 2.4, RFC 5280 appendix A.1); others UTF8String (4.1.2.4)."""
    tag = 19 if word in PRINTABLE else 22 if word in ("DC", "emailAddress") else 3 if word.startswith("x500") else 12
    text = "#00ab" if tag == 3 else "DE"
    pair = elements(elements(any_of(parse_name(f"{word}={text}").public_bytes()))[0])[0]
    assert tag_of(elements(pair)[1]) == tag


_VALUES = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=12)
_TYPES = st.sampled_from([oid for oid in KEYWORDS if oid != NameOID.X500_UNIQUE_IDENTIFIER] + [Oid("1.2.3.4")])
_RDNS = st.lists(st.dictionaries(_TYPES, _VALUES, min_size=1, max_size=3), min_size=1, max_size=4)


def made(rdns: list[dict[Oid, str]]) -> x509.Name:
    return x509.Name(
        x509.RelativeDistinguishedName(
            x509.NameAttribute(kind, value, _validate=False) for kind, value in attributes.items()
        )
        for attributes in rdns
    )


@given(_RDNS)
@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_11_3_a_name_that_is_written_is_read_again(rdns: list[dict[Oid, str]]) -> None:
    found = made(rdns)
    assert parse_name(name_text(found)) == found
    assert parse_name(name_text(found).replace(",", " , ").replace("\\ , ", "\\,")) == found


@given(_RDNS)
@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_11_3_so_is_one_with_slashes_or_in_quotation_marks(rdns: list[dict[Oid, str]]) -> None:
    def written(before: str, rdn: dict[Oid, str], quote: str, escaped: str) -> str:
        escapes = str.maketrans({item: f"\\{item}" for item in escaped})
        values = (
            f"{KEYWORDS.get(kind, '1.2.3.4')}={quote}{value.translate(escapes)}{quote}" for kind, value in rdn.items()
        )
        return before + "+".join(values)

    assert parse_name("".join(written("/", rdn, "", "\\/+ #") for rdn in rdns)) == made(rdns)
    quoted = ",".join(written(" ", rdn, '"', '\\"') for rdn in reversed(rdns))
    assert parse_name(quoted) == made(rdns)


@given(st.text(st.sampled_from(' ,+;/\\"=#CNO.1a\n'), max_size=20))
def test_11_3_whatever_is_written_is_a_name_or_told_why_not(text: str) -> None:
    try:
        found = parse_name(text)
    except Malformed as error:
        assert error.text
    else:
        assert parse_name(name_text(found)) == found or "\n" in text


# Time: whoever sends a name must not be able to keep others waiting with it


def test_no_long_text_is_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Putting n combining marks in order takes n squared steps: 62 kB took 4 s."""
    seen = []
    monkeypatch.setattr(names.unicodedata, "normalize", lambda _form, text: seen.append(len(text)) or text)
    for size in (512, 513, 30_000):
        prepared("\u0316\u0300" * (size // 2) + "a" * (size % 2))
    assert len(seen) == 2 and max(seen) == 512


@pytest.mark.parametrize("between", [" ", "\\ ", "\\,", '\\"'], ids=["blank", "escaped blank", "comma", "quote"])
def test_11_3_no_text_takes_long_to_read(between: str) -> None:
    """With a hundred thousand blanks inside a value, a time that grows with their square was a quarter of an hour."""
    inside = between * 100_000
    (attribute,) = parse_name(f"CN=a{inside}b , O=x").get_attributes_for_oid(NameOID.COMMON_NAME)
    assert len(attribute.value) == 100_002
    with pytest.raises(Malformed):
        parse_name(f'CN="a{inside}b"c"')


def test_long_values_are_the_same_but_for_case_and_blanks() -> None:
    long = "Ä" * 513
    assert prepared(long) == prepared(f" {long.lower()}  ") != prepared(long + "x")
    assert prepared(long) != prepared("Ä" * 512)


def test_a_name_in_a_message_is_prepared_once_however_often_it_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bag of 31 certificates with long issuers and the right serial number took 1.6 s."""
    read = []
    real = names.rdns_of
    monkeypatch.setattr(names, "rdns_of", lambda der, what: read.append(der) or real(der, what))
    asked = name("CN=asked for once").public_bytes()
    for number in range(5):
        assert not same_name(asked, name(f"CN=other {number}").public_bytes())
    assert read.count(asked) == 1 and len(read) == 6
