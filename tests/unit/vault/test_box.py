import hashlib
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from trunkline.vault import box as box_module
from trunkline.vault.box import MOST_UNCOUNTED, Box, Keys
from trunkline.vault.errors import OpenError, SealBudgetError
from trunkline.vault.sealed import SEALED, check_place, place

TENANT, OTHER = UUID(int=1), UUID(int=2)
KEYS = {1: Keys(b"1" * 32 + b"f" * 32), 2: Keys(b"2" * 32 + b"f" * 32)}
BOX = Box(TENANT, KEYS)
TOKEN = place("credentials", 7, field="access_token")


@given(plaintext=st.binary(max_size=4096))
def test_what_is_sealed_opens_again_and_never_looks_the_same(plaintext):
    blob = BOX.seal(plaintext, TOKEN)
    assert BOX.open(blob, BOX.version, TOKEN) == plaintext
    assert BOX.seal(plaintext, TOKEN) != blob
    assert len(plaintext) < 4 or plaintext not in blob


@given(plaintext=st.binary(min_size=1, max_size=64), where=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_flipped_bit_does_not_open(plaintext, where, bit):
    blob = bytearray(BOX.seal(plaintext, TOKEN))
    blob[where % len(blob)] ^= 1 << bit
    with pytest.raises(OpenError):
        BOX.open(bytes(blob), BOX.version, TOKEN)


@pytest.mark.parametrize("blob", [b"", b"\x02", b"\x02" * 12, b"\x02" * 45, b"\x02" * 61, b"\x01" * 80])
def test_a_torn_blob_does_not_open(blob):
    with pytest.raises(OpenError):
        BOX.open(blob, 1, TOKEN)


def test_a_blob_opens_in_its_tenant_table_row_field_and_version_only():
    blob = BOX.seal(b"secret", TOKEN)
    for box, version, context in (
        (Box(OTHER, KEYS), 2, TOKEN),
        (BOX, 2, place("unconfirmed_credentials", 7, field="access_token")),
        (BOX, 2, place("credentials", 8, field="access_token")),
        (BOX, 2, place("credentials", 7, field="refresh_token")),
        (BOX, 1, TOKEN),
        (Box(TENANT, {1: KEYS[2], 2: KEYS[1]}), 1, TOKEN),
        (BOX, 3, TOKEN),
    ):
        with pytest.raises(OpenError):
            box.open(blob, version, context)
    assert BOX.open(blob, 2, TOKEN) == b"secret"


def test_the_format_is_this_one_byte_for_byte(monkeypatch):
    """A vector: what is in customers' databases must open with every later version."""
    monkeypatch.setattr(box_module.os, "urandom", lambda size: b"N" * size)
    blob = BOX.seal(b"secret", "credentials/7/access_token")
    assert blob.hex() == (
        "024e4e4e4e4e4e4e4e4e4e4e4ec7f91323d3522a3fa35ada932c33113f55e2d67acf7934470bdde5"
        "970d1de6ad884d1365227ff5ac02a0cd764424b89a9e4c50a2ec6b"
    )


def test_a_blob_that_decrypts_under_a_second_key_does_not_open_there():
    """AES-GCM alone would open it: a committed blob opens under the key that made it and no other."""
    mine, other = KEYS[1], KEYS[2]
    blob = Box(TENANT, {1: mine}).seal(b"for one", TOKEN)
    prefix = b"\x02" + TENANT.bytes + (1).to_bytes(4, "big") + TOKEN.encode()
    nonce, commitment = blob[1:13], blob[13:45]
    forged = b"\x02" + nonce + commitment + other.cipher.encrypt(nonce, b"for another", prefix)
    with pytest.raises(OpenError, match="another key sealed it"):
        Box(TENANT, {1: other}).open(forged, 1, TOKEN)
    honest = hashlib.blake2b(nonce, digest_size=32, key=other.commitment).digest()
    assert Box(TENANT, {1: other}).open(b"\x02" + nonce + honest + forged[45:], 1, TOKEN) == b"for another"
    assert isinstance(mine.cipher, AESGCM)


def test_old_versions_still_open_after_a_rotation():
    blob = Box(TENANT, {1: KEYS[1]}).seal(b"old", TOKEN)
    assert BOX.version == 2
    assert BOX.open(blob, 1, TOKEN) == b"old"


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_fingerprints_survive_a_rotation_and_tell_documents_apart(one, two):
    before, after = Box(TENANT, {1: KEYS[1]}), Box(TENANT, {2: KEYS[2]})
    assert BOX.fingerprint(one) == before.fingerprint(one) == after.fingerprint(one)
    assert len(BOX.fingerprint(one)) == 16
    assert (BOX.fingerprint(one) == BOX.fingerprint(two)) == (one == two)


def test_fingerprints_are_the_tenants_own():
    other = Keys(b"1" * 32 + b"g" * 32)
    assert Box(TENANT, {1: KEYS[1]}).fingerprint(b"x") != Box(OTHER, {1: other}).fingerprint(b"x")


@pytest.mark.parametrize(
    "context",
    [
        "",
        "x",
        "credentials/7",
        "credentials//access_token",
        "credentials/7/secret",
        "credentials/7/8/access_token",
        "somewhere/7/secret",
        "records/1/contacts/document",
        "records/1/contacts/2/3/document",
    ],
)
def test_nothing_is_sealed_without_table_row_and_field(context):
    with pytest.raises(ValueError, match=r"vault\.sealed\.place"):
        BOX.seal(b"x", context)


@given(st.lists(st.text(min_size=1), min_size=6, max_size=6))
def test_no_two_places_spell_the_same(parts):
    one, two = parts[:3], parts[3:]
    places = [place("records", *row, field="document") for row in (one, two)]
    assert (places[0] == places[1]) == (one == two)
    check_place(places[0])


def test_every_sealed_table_has_a_place_for_each_field():
    for one in SEALED:
        for field in one.fields:
            check_place(place(one.table, *one.row, field=field))


def test_a_box_refuses_what_would_not_be_counted():
    keys = Keys(b"3" * 64)
    box = Box(TENANT, {1: keys})
    keys.tally.uncounted = MOST_UNCOUNTED - 1
    box.seal(b"last", TOKEN)
    with pytest.raises(SealBudgetError):
        box.seal(b"one too many", TOKEN)
