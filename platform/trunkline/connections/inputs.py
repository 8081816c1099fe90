"""What a customer typed into our form, checked: the account's place, and what is to be sealed. Pure."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from trunkline.kernel.errors import BadInputError
from trunkline.sdk.authentication import Auth, Input

_LABEL: Final = re.compile(r"(?!xn--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[A-Za-z0-9.-]{1,190}")
_SCHEME: Final = re.compile(r"^https?://", re.IGNORECASE)
LONGEST_TEXT: Final = 200
LONGEST_KEY: Final = 500


class Typed(msgspec.Struct, frozen=True):
    """`secrets` go into the vault, `values` are kept in the open."""

    values: dict[str, str]
    secrets: dict[str, str]

    def __repr__(self) -> str:
        return f"Typed({self.values!r})"


def check(way: Auth, given: Mapping[str, str], *, known: Mapping[str, str] | None = None) -> Typed:
    """`known`: values that a connection has already, which stay. Raises BadInputError naming the field."""
    values, secrets = dict(known or {}), {}
    for one in way.inputs:
        if not one.secret and one.name in values:
            continue
        text = given.get(one.name, "").strip()
        if one.options:
            option = next((option for option in one.options if option.value == text), None)
            if option is None:
                raise BadInputError(f"Choose one of the answers for {one.label}.", field=one.name)
            values |= {one.name: option.value, **option.values}
        elif one.secret:
            secrets[one.name] = _checked(one, text)
        else:
            values[one.name] = _checked(one, text)
    return Typed(values, secrets)


def _checked(one: Input, text: str) -> str:
    if one.form == "label":
        label = _SCHEME.sub("", text).partition("/")[0].lower()
        label = label.removesuffix(one.suffix.lower()) if one.suffix else label
        if not _LABEL.fullmatch(label):
            example = f", like {one.example}" if one.example else ""
            raise BadInputError(
                f"{one.label} is one word of letters, digits and hyphens{example}.", field=one.name
            )
        return label
    most = LONGEST_KEY if one.form == "key" else LONGEST_TEXT
    if not text or len(text) > most or not text.isascii() or not text.isprintable():
        raise BadInputError(f"Enter {one.label} exactly as the provider shows it.", field=one.name)
    if one.form == "key" and (len(text) < 4 or " " in text):
        raise BadInputError(f"{one.label} is longer than that and has no blanks in it.", field=one.name)
    if one.form == "email" and not _EMAIL.fullmatch(text):
        raise BadInputError(f"{one.label} is an e-mail address.", field=one.name)
    return text
