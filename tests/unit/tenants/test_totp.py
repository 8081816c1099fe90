"""One-time codes by RFC 6238's own vectors, recovery codes, and what a password must not be."""

import base64
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.kernel.errors import BadInputError
from trunkline_tenants.account import check_new_password
from trunkline_tenants.devices import describe
from trunkline_tenants.totp import (
    RECOVERY_CODES,
    matching_step,
    new_recovery_codes,
    new_totp_secret,
    provisioning_uri,
    qr_svg,
    recovery_hash,
)

SECRET = base64.b32encode(b"12345678901234567890").decode()


# RFC 6238, appendix B, SHA-1: the last six of its eight digits
@pytest.mark.parametrize(
    ("at", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_rfcs_vectors(at: int, code: str) -> None:
    assert matching_step(SECRET, code, at) == at // 30
    assert matching_step(SECRET, f" {code[:3]} {code[3:]}", at) == at // 30


def test_one_step_early_or_late_is_taken_and_no_more() -> None:
    at = 1234567890
    assert matching_step(SECRET, "005924", at + 30) == at // 30
    assert matching_step(SECRET, "005924", at - 30) == at // 30
    assert matching_step(SECRET, "005924", at + 61) is None
    assert matching_step(SECRET, "005924", at - 61) is None


@pytest.mark.parametrize("code", ["", "00592", "0059244", "٠٠٥٩٢٤", "00592a", "-05924", "+05924", "0x5924"])
def test_what_is_no_code(code: str) -> None:
    assert matching_step(SECRET, code, 1234567890) is None


@given(st.text(max_size=40))
def test_no_text_breaks_a_check(text: str) -> None:
    assert matching_step(SECRET, text, 1e9) in {None, *range(33333332, 33333335)}
    assert recovery_hash(text) is None or len(recovery_hash(text) or b"") == 32


def test_a_secret_has_160_bits_and_the_picture_is_plain() -> None:
    secret = new_totp_secret()
    assert len(base64.b32decode(secret)) == 20
    address = provisioning_uri(secret, "ada+x@globex.example")
    assert address.startswith("otpauth://totp/Trunkline:ada%2Bx%40globex.example?secret=")
    picture = qr_svg(address)
    names = {element.tag for element in ET.fromstring(picture).iter()}
    assert names == {"svg", "title", "g", "path"}
    assert "style=" not in picture
    assert secret not in picture


def test_recovery_codes_differ_and_are_read_as_people_type_them() -> None:
    codes = new_recovery_codes()
    assert len(set(codes)) == RECOVERY_CODES == 10
    for code in codes:
        assert recovery_hash(code) == recovery_hash(code.replace("-", " ").upper()) is not None
    assert len({recovery_hash(code) for code in codes}) == 10
    assert recovery_hash(codes[0][:-1]) is None
    assert recovery_hash(codes[0][:-1] + "1") is None


@pytest.mark.parametrize(
    "password",
    [
        "ada.byron@globex.example",
        "Ada.Byron@Globex.Example",
        "ada.byron1234567",
        "aaaaaaaaaaaaaaa",
        "abababababababab",
        "the current password",
    ],
)
def test_a_password_that_anybody_would_try_is_refused(password: str) -> None:
    with pytest.raises(BadInputError) as caught:
        check_new_password(password, email="ada.byron@globex.example", current="the current password")
    assert caught.value.field == "wanted"


@pytest.mark.parametrize("password", ["correct horse battery", "ЖэЖэ пять слов тут", "all lower case words"])
def test_no_composition_is_asked_for(password: str) -> None:
    check_new_password(password, email="ada@globex.example", current="another one")


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/129.0 Safari/537.36 Edg/129.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1",
            "Safari on iPhone",
        ),
        ("<script>alert(1)</script>", ""),
        ("", ""),
    ],
)
def test_a_browser_in_words(agent: str, words: str) -> None:
    assert describe(agent) == words
