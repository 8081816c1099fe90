"""Passwords, and the table of permissions."""

from typing import get_args

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from trunkline.kernel.errors import BadInputError
from trunkline.kernel.principal import Principal, Role
from trunkline_tenants.directory import normalise_email
from trunkline_tenants.passwords import hash_password, verify_password
from trunkline_tenants.permissions import PERMISSIONS, SENTENCES, Action, can

GOOD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)


async def test_the_parameters_are_owasps() -> None:
    found = extract_parameters(await hash_password(GOOD))
    assert found.type is Type.ID
    assert (found.memory_cost, found.time_cost, found.parallelism) == (19456, 2, 1)
    assert (found.hash_len, found.salt_len) == (32, 16)


async def test_two_hashes_of_a_password_differ_and_both_match() -> None:
    first, second = await hash_password(GOOD, CHEAP), await hash_password(GOOD, CHEAP)
    assert first != second
    assert await verify_password(first, GOOD, CHEAP) == (True, None)
    assert await verify_password(second, GOOD, CHEAP) == (True, None)
    assert await verify_password(first, GOOD + " ", CHEAP) == (False, None)


async def test_a_weaker_hash_is_replaced() -> None:
    weak = await hash_password(GOOD, CHEAP)
    matches, better = await verify_password(weak, GOOD)
    assert matches
    assert better is not None
    assert extract_parameters(better).memory_cost == 19456


@pytest.mark.parametrize("stored", [None, "", "not a hash", "$argon2id$v=19$m=1024,t=1,p=1$x$y"])
async def test_no_usable_hash_matches_nothing(stored: str | None) -> None:
    assert await verify_password(stored, GOOD, CHEAP) == (False, None)


async def test_a_password_of_a_megabyte_is_not_hashed() -> None:
    with pytest.raises(BadInputError) as caught:
        await hash_password("x" * 1_000_000)
    assert caught.value.field == "password"
    assert await verify_password(await hash_password(GOOD, CHEAP), "x" * 1_000_000, CHEAP) == (False, None)
    with pytest.raises(BadInputError, match="12 to 256"):
        await hash_password("too short")


@pytest.mark.parametrize(
    ("given", "kept"),
    [(" Ada@Globex.Example ", "ada@globex.example"), ("ａｄａ@globex.example", "ada@globex.example")],
)
def test_addresses_are_compared_in_one_form(given: str, kept: str) -> None:
    assert normalise_email(given) == kept


@pytest.mark.parametrize("given", ["", "ada", "@globex.example", "a b@c.example", "a@b", "a@b..c", "a\0@b.c"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(BadInputError):
        normalise_email(given)


def test_every_role_and_action_is_in_the_table() -> None:
    assert set(PERMISSIONS) == set(get_args(Role))
    assert set(SENTENCES) == set(get_args(Action))


def test_a_viewer_changes_nothing_and_staff_see_no_portal() -> None:
    def who(role: Role) -> Principal:
        return Principal(kind="member", id="1", role=role, label="x")

    assert {action for action in get_args(Action) if can(who("viewer"), action)} == {
        "account.manage",
        "portal.view",
    }
    assert PERMISSIONS["viewer"] < PERMISSIONS["admin"] < PERMISSIONS["owner"]
    for role in ("support", "staff_admin"):
        assert not can(who(role), "portal.view")
    assert not can(None, "portal.view")
