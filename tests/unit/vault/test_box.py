from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.vault.errors import OpenError
from trunkline.vault.service import Box, _Keys

TENANT, OTHER = UUID(int=1), UUID(int=2)
KEYS = {1: _Keys(b"1" * 32), 2: _Keys(b"2" * 32)}
BOX = Box(TENANT, KEYS)


@given(plaintext=st.binary(max_size=4096), context=st.text(max_size=200))
def test_what_is_sealed_opens_again_and_never_looks_the_same(plaintext, context):
    blob = BOX.seal(plaintext, context)
    assert BOX.open(blob, BOX.version, context) == plaintext
    assert BOX.seal(plaintext, context) != blob
    assert len(plaintext) < 4 or plaintext not in blob


@given(plaintext=st.binary(min_size=1, max_size=64), place=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_flipped_bit_does_not_open(plaintext, place, bit):
    blob = bytearray(BOX.seal(plaintext, "a/b"))
    blob[place % len(blob)] ^= 1 << bit
    with pytest.raises(OpenError):
        BOX.open(bytes(blob), BOX.version, "a/b")


@pytest.mark.parametrize("blob", [b"", b"\x01", b"\x01" * 12, b"\x01" * 20])
def test_a_torn_blob_does_not_open(blob):
    with pytest.raises(OpenError):
        BOX.open(blob, 1, "a")


def test_a_blob_opens_in_its_tenant_its_field_and_its_version_only():
    blob = BOX.seal(b"secret", "credentials/7/access_token")
    same_keys = Box(OTHER, KEYS)
    for box, version, context in (
        (same_keys, 2, "credentials/7/access_token"),
        (BOX, 2, "credentials/8/access_token"),
        (BOX, 2, "credentials/7/refresh_token"),
        (BOX, 1, "credentials/7/access_token"),
        (Box(TENANT, {1: KEYS[2], 2: KEYS[1]}), 1, "credentials/7/access_token"),
        (BOX, 3, "credentials/7/access_token"),
    ):
        with pytest.raises(OpenError):
            box.open(blob, version, context)
    assert BOX.open(blob, 2, "credentials/7/access_token") == b"secret"


def test_old_versions_still_open_after_a_rotation():
    blob = Box(TENANT, {1: KEYS[1]}).seal(b"old", "x")
    assert BOX.version == 2
    assert BOX.open(blob, 1, "x") == b"old"


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_fingerprints_survive_a_rotation_and_tell_documents_apart(one, two):
    before = Box(TENANT, {1: KEYS[1]})
    assert BOX.fingerprint(one) == before.fingerprint(one)
    assert len(BOX.fingerprint(one)) == 16
    assert (BOX.fingerprint(one) == BOX.fingerprint(two)) == (one == two)


def test_fingerprints_are_the_tenants_own():
    assert Box(TENANT, {1: KEYS[1]}).fingerprint(b"x") != Box(OTHER, {1: KEYS[2]}).fingerprint(b"x")
