"""Secrets we hand out, and the shape of our cookies."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.kernel.settings import Settings
from trunkline_tenants import cookies
from trunkline_tenants.guards import own_path
from trunkline_tenants.keys import ALPHABET, digest, new_api_key, new_secret, parse_api_key


def test_a_key_parses_to_what_was_stored() -> None:
    made = new_api_key()
    parsed = parse_api_key(made.plain)
    assert parsed is not None
    assert (parsed.prefix, parsed.hash) == (made.prefix, made.hash)
    assert parsed.matches(made.hash)
    assert not parsed.matches(new_api_key().hash)
    assert made.hash == hashlib.sha256(made.plain.encode()).digest()


def test_a_key_holds_enough_randomness() -> None:
    made = [new_api_key() for _ in range(200)]
    assert len({one.plain for one in made}) == len({one.prefix for one in made}) == 200
    secret = made[0].plain.split("_")[3][:-6]
    assert len(ALPHABET) ** len(secret) > 2**160


@given(st.integers(8, 58), st.sampled_from(ALPHABET))
def test_a_mistyped_character_is_noticed_without_the_database(place: int, letter: str) -> None:
    plain = new_api_key().plain
    place = min(place, len(plain) - 1)
    typed = plain[:place] + letter + plain[place + 1 :]
    assert (parse_api_key(typed) is None) is (typed != plain)


@given(st.text(max_size=80))
def test_no_text_breaks_the_parser(text: str) -> None:
    assert parse_api_key(text) is None


def test_a_session_id_has_256_bits_and_only_its_like_is_looked_up() -> None:
    made = new_secret()
    assert cookies.secret_in(made) == made
    assert len(digest(made)) == 32
    for odd in (None, "", made + "x", made[:-1], "é" * 43, "/" * 43, made[:-1] + "\n"):
        assert cookies.secret_in(odd) is None


@given(st.text(min_size=1, max_size=500))
def test_a_message_survives_its_cookie(text: str) -> None:
    kept = cookies.flash_cookie(Settings(), text, "warning")
    assert kept.value is not None
    assert kept.value.isascii()
    assert cookies.read_flash(kept.value) == (cookies.Note(text, "warning"),)


@pytest.mark.parametrize(
    "value", ["", "x", "%FF", "%7B%7D", '{"text":1}', "a" * 5000, '{"text":"x","tone":"y"}']
)
def test_a_made_up_message_cookie_is_ignored(value: str) -> None:
    assert cookies.read_flash(value) == ()


@given(st.text(alphabet=st.sampled_from("/\\:a.?#\r\n\t @"), max_size=12))
def test_a_path_to_go_on_to_never_leaves_the_site(path: str) -> None:
    kept = own_path(path, "")
    assert kept in {"", path}
    if kept:
        assert kept.startswith("/")
        assert not kept.startswith(("//", "/\\"))
        assert kept.isprintable()
