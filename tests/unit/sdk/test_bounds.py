"""Manifests made to hurt: each is refused in words, at once, and none is read by half."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.kit.checking import check
from trunkline.kit.scaffolding import scaffold
from trunkline.sdk.bounds import LARGEST, LONGEST, MOST, MOST_DOTS, MOST_STREAMS
from trunkline.sdk.manifest import MANIFEST_LIMIT, ManifestError, read_manifest
from trunkline_connectors.catalogue import manifests


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> str:
    into = tmp_path_factory.mktemp("acme")
    scaffold("acme", into)
    return (into / "acme" / "manifest.toml").read_text()


def test_ours_are_far_within_the_bounds() -> None:
    assert len(manifests()) == 7  # they were read at import, by the same function


# name -> what is put in the place of a part of the scaffold's manifest, and a word of the refusal
HOSTS = 'hosts = ["{subdomain}.acme.example"]'
LABEL = 'label = "Acme"'
HOSTILE: dict[str, tuple[str, str, str]] = {
    "a dotted name that would take 40 GB": (
        'name = "acme"',
        "a" + ".a" * 100_000 + " = 1\nname = 'acme'",
        "dots",
    ),
    "a name nested by a header": ("[account]", "[x" + ".x" * 60 + "]\n[account]", "nested"),
    "a huge text": (LABEL, f'label = "{"x" * (LONGEST + 1)}"', "characters"),
    "a huge table": (
        "[account]",
        "[headers]\n" + "".join(f"h{n} = '1'\n" for n in range(MOST + 1)) + "[account]",
        "entries",
    ),
    "a huge number": ("requests = 100", f"requests = {LARGEST + 1}", "number"),
    "a number of ten thousand digits": ("requests = 100", "requests = 1" + "0" * 10_000, "number"),
    "an endless number": ("seconds = 10", "seconds = inf", "number"),
    "no number": ("seconds = 10", "seconds = nan", "number"),
    "a negative number": ("overlap_seconds = 60", "overlap_seconds = -60", "number"),
    "a recipe that never rests": ('model = "contact"', 'model = "contact"\nschedule_seconds = 1', ">= 30"),
    "everything read anew every second": (
        'modified = "updated_at"',
        'modified = "updated_at"\ncomplete_seconds = 1',
        ">= 3600",
    ),
    "everything read again each time": (
        "overlap_seconds = 60",
        "overlap_seconds = 100_000_000",
        "<= 2678400",
    ),
    "calls that cost nothing": ("[streams.list]", "[streams.list]\ncost = 0", ">= 1"),
    "a page of nothing": ("[streams.list]", "[streams.list]\npage_size = 0", "page_size"),
    "a NUL": (LABEL, 'label = "Ac\\u0000me"', "U+0000"),
    "an escape": (LABEL, 'label = "Ac\\u001b[31mme"', "U+001B"),
    "text that runs backwards": (LABEL, 'label = "Ac\\u202Eme"', "U+202E"),
    "another host by a header": ("[auth]", '[headers]\nhost = "internal.example"\n[auth]', "header host"),
    "a second request in a header": (
        "[auth]",
        '[headers]\nx-a = "1\\nhost: evil.example"\n[auth]',
        "no header has",
    ),
    "a proxy by a header": ("headers = {", 'headers = { Proxy-Authorization = "x",', "not a connector"),
    "no name of a header": ("headers = {", 'headers = { "a b" = "x",', "no name of a header"),
    "a body's end by a header": (
        "[streams.list]",
        '[streams.list]\nheaders = { Transfer-Encoding = "chunked" }',
        "not a connector",
    ),
    "a link that runs code": ("[auth]", '[auth]\nhelp_url = "javascript:alert(1)"', "https://"),
    "a link to a number": ("[auth]", '[auth]\nhelp_url = "https://127.0.0.1/"', "https://"),
    "a link with a name before the host": (
        "[auth]",
        '[auth]\nhelp_url = "https://acme.example@evil.example/"',
        "https://",
    ),
    "hosts that are numbers": (HOSTS, 'hosts = ["169.254.169.254"]', "no host"),
    "the host of a cloud's own data": (HOSTS, 'hosts = ["metadata.google.internal"]', "public network"),
    "a service of the cluster": (HOSTS, 'hosts = ["{subdomain}.default.svc"]', "public network"),
    "a printer": (HOSTS, 'hosts = ["acme.local"]', "public network"),
    "this machine by another name": (HOSTS, 'hosts = ["api.localhost"]', "public network"),
    "a dot behind a host": (HOSTS, 'hosts = ["api.acme.example."]', "no host"),
    "letters that look like others": (HOSTS, 'hosts = ["api.\u0430cme.example"]', "no host"),
    "the port of another protocol": (HOSTS, 'hosts = ["api.acme.example:22"]', "another protocol"),
    "every host there is": (HOSTS, 'hosts = ["{any}.com"]', "no host"),
    "a template in the middle of a host": (
        HOSTS,
        'hosts = ["a{x}.acme.example"]',
        "no host",
    ),
    "more streams than any": ("[account]", "[[streams]]\n" * (MOST_STREAMS + 1) + "[account]", "entries"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_each_is_refused_in_words(acme: str, name: str) -> None:
    old, new, words = HOSTILE[name]
    assert old in acme
    raw = acme.replace(old, new, 1).encode()
    assert len(raw) < MANIFEST_LIMIT
    with pytest.raises(ManifestError) as refused:
        read_manifest(raw, "manifest.toml")
    assert words in str(refused.value)
    assert len(str(refused.value)) < 400


def test_nested_lists_and_tables_are_refused(acme: str) -> None:
    for opening, closing in (("[", "]"), ("{a=", "}")):
        for depth in (40, 5_000):
            raw = f"x = {opening * depth}1{closing * depth}\n{acme}".encode()
            with pytest.raises(ManifestError, match="nested"):
                read_manifest(raw, "manifest.toml")


def test_what_is_said_once_cannot_be_copied_without_end(acme: str) -> None:
    common = "[each_stream]\n" + "".join(f"a{n} = [{'1,' * 400}]\n" for n in range(100))
    with pytest.raises(ManifestError, match="each_stream"):
        read_manifest((acme + common + "[[streams]]\n" * 50).encode(), "manifest.toml")
    long = "[each_stream]\ndescription = '" + "{stream}" * 400 + "'\n"
    raw = acme.replace('name = "contacts"', f'name = "{"c" * 4000}"', 1) + long
    with pytest.raises(ManifestError, match="at most 60 characters"):
        read_manifest(raw.encode(), "manifest.toml")


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"", b"name", b"x" * (MANIFEST_LIMIT + 1), b"\0" * 1000])
def test_what_is_no_manifest_at_all(raw: bytes) -> None:
    with pytest.raises(ManifestError, match=r"manifest\.toml"):
        read_manifest(raw, "manifest.toml")


def test_the_check_names_the_line(tmp_path: Path) -> None:
    scaffold("acme", tmp_path)
    path = tmp_path / "acme" / "manifest.toml"
    text = path.read_text()
    for old, new in ((LABEL, 'label = "Ac\\u202Eme"'), ("requests = 100", "requests = " + "1." * 200)):
        path.write_text(text.replace(old, new, 1))
        (found,) = check(tmp_path / "acme")
        assert new[:20] in path.read_text().splitlines()[found.line - 1]


def test_the_worst_within_the_bounds_is_read_in_a_moment(acme: str) -> None:
    """What would take hours, or all memory, would be noticed."""
    dotted = "\n".join("x" + f".a{n}" * (MOST_DOTS - 2) + " = 1" for n in range(300))
    with pytest.raises(ManifestError):
        read_manifest(f"{dotted}\n{acme}".encode()[: MANIFEST_LIMIT - 1], "manifest.toml")


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 20_000), put=st.binary(min_size=1, max_size=12))
def test_any_damage_is_a_sentence_or_a_manifest(acme: str, place: int, put: bytes) -> None:
    raw = bytearray(acme.encode())
    at = place % len(raw)
    raw[at : at + len(put)] = put
    try:
        read_manifest(bytes(raw), "manifest.toml")
    except ManifestError as error:
        assert str(error).startswith("manifest.toml: ")  # noqa: PT017 - it need not be raised
