"""Ids as providers give them, out of the store's numbers and back: opaque to look at, nothing to remember."""

from string import ascii_letters, digits
from typing import Final

HEX: Final = "0123456789abcdef"
BASE36: Final = digits + "abcdefghijklmnopqrstuvwxyz"
BASE62: Final = digits + ascii_letters
_FACTOR = 2**89 - 1
"""A prime (Mersenne), so that it can be undone modulo any power of 16, 36 or 62."""


def opaque(number: int, size: int, alphabet: str = BASE62) -> str:
    """`size` characters that `number_of` takes back; different for every number that fits."""
    left = number * _FACTOR % len(alphabet) ** size
    text = ""
    for _ in range(size):
        left, place = divmod(left, len(alphabet))
        text = alphabet[place] + text
    return text


def number_of(text: str, size: int, alphabet: str = BASE62) -> int | None:
    """None of anything that `opaque` does not make."""
    if len(text) != size or any(letter not in alphabet for letter in text):
        return None
    value = 0
    for letter in text:
        value = value * len(alphabet) + alphabet.index(letter)
    modulus = len(alphabet) ** size
    undone = pow(_FACTOR, -1, modulus)
    return int(value * undone % modulus)
