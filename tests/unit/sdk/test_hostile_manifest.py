"""A partner's manifest is data from outside: it is read, or ManifestError names the file and the field."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import trunkline_connectors
from trunkline.sdk.manifest import MANIFEST_LIMIT, Manifest, ManifestError, load_manifest

GOOD = (Path(trunkline_connectors.__path__[0]) / "hubspot" / "manifest.toml").read_text("utf-8")
LINES = GOOD.splitlines()


def read(folder: Path, raw: bytes) -> Manifest | str:
    path = folder / "manifest.toml"
    path.write_bytes(raw)
    try:
        return load_manifest(path)
    except ManifestError as error:
        said = str(error)
    assert str(path) in said
    return said


def test_the_good_one_is_read(tmp_path: Path) -> None:
    assert isinstance(read(tmp_path, GOOD.encode()), Manifest)


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ('name = "hubspot"', "name = 1", "$.name"),
        ('name = "hubspot"', 'name = "hubspot"\nadmin = true', "admin"),
        ('name = "hubspot"', 'name = "hubspot"\nname = "other"', "line"),
        ('name = "hubspot"', "", "name"),
        ('name = "hubspot"', 'name = "hub\x00spot"', "line"),
        ('name = "hubspot"', 'name = "\\ud800"', "line"),
        ('name = "hubspot"', "x = " + "[" * 50_000, "nested"),
        ('name = "hubspot"', "x = " + "[" * 5_000 + "]" * 5_000, "nested"),
        ('name = "hubspot"', "name = " + "9" * 10_000, "number"),
        ('name = "hubspot"', "name = nan", "$.name"),
        ("requests = 110", "requests = 0", "$.rates"),
        ("seconds = 10", "seconds = nan", "$.rates"),
        ("seconds = 10", "seconds = inf", "$.rates"),
        ("seconds = 10", "seconds = 10, reserve = 0.9", "$.rates"),
        ('scope = "account"', 'scope = "planet"', "$.rates"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, names: str) -> None:
    found = read(tmp_path, GOOD.replace(old, new, 1).encode("utf-8", "surrogatepass"))
    assert isinstance(found, str)
    assert names in found, found


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"\xff\xfe", "can't decode"),
        (GOOD.encode("utf-16"), "can't decode"),
        (b"\x00", "line 1"),
        (GOOD.encode() + b"# " + b"x" * MANIFEST_LIMIT, "larger than"),
    ],
)
def test_no_text_and_too_much_text(tmp_path: Path, raw: bytes, says: str) -> None:
    found = read(tmp_path, raw)
    assert isinstance(found, str)
    assert says in found
    assert "number" not in found


@given(
    place=st.integers(0, len(LINES) - 1),
    line=st.text(max_size=30)
    | st.sampled_from(["[[streams]]", "x = 1e400", "x = 9999999999999999999", "[auth]", "a.b.c = []"]),
    drop=st.booleans(),
)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_line_in_any_place(tmp_path: Path, place: int, line: str, drop: bool) -> None:
    lines = [*LINES[:place], line, *LINES[place + drop :]]
    read(tmp_path, "\n".join(lines).encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=300))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes(tmp_path: Path, raw: bytes) -> None:
    read(tmp_path, raw)
