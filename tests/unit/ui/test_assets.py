"""Static files, and what the style sheets promise."""

import gzip
import hashlib
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.testing import create_test_client

from trunkline_ui import assets, rendering

ALL = assets.Assets().all()


@pytest.fixture(scope="module")
def http():
    with create_test_client([assets.static_file], template_config=rendering.template_config()) as client:
        yield client


@pytest.mark.parametrize("name", sorted(ALL))
def test_hashed_address_is_kept_for_a_year_and_others_are_not(http, name):
    asset = ALL[name]
    answer = http.get(asset.url)
    assert answer.status_code == 200
    assert hashlib.sha256(answer.content).hexdigest().startswith(asset.hash)
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"
    for other in (f"/static/{name}", f"/static/0000000000000000/{name}"):
        answer = http.get(other)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("app.js", "text/javascript; charset=utf-8"),
        ("base.css", "text/css; charset=utf-8"),
        ("mark.svg", "image/svg+xml"),
    ],
)
def test_content_type(http, name, kind):
    assert http.get(f"/static/{name}").headers["content-type"] == kind


def test_revalidation_and_encodings(http):
    asset = ALL["app.js"]
    assert http.get("/static/app.js", headers={"if-none-match": f'"{asset.hash}"'}).status_code == 304
    assert http.get("/static/app.js", headers={"if-none-match": '"other"'}).status_code == 200
    assert (
        "content-encoding" not in http.get("/static/app.js", headers={"accept-encoding": "identity"}).headers
    )
    zipped = http.get("/static/app.js", headers={"accept-encoding": "gzip"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.content == asset.body == gzip.decompress(asset.zipped)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../assets.py",
        "/static/%2e%2e/assets.py",
        "/static/%2e%2e%2fassets.py",
        "/static/x/y/app.js",
        "/static//etc/passwd",
        "/static/app.js%00.css",
        "/static/",
        "/static/nothing.js",
    ],
)
def test_nothing_else_is_served(http, path):
    assert http.get(path).status_code == 404


@given(st.text(min_size=1))
def test_names_are_keys_and_not_paths(name):
    if name not in ALL:
        with pytest.raises(KeyError):
            assets.Assets().url(name)


def test_unknown_kind_of_file_is_refused_at_start(tmp_path):
    (tmp_path / "x.exe").write_text("")
    with pytest.raises(ValueError, match=r"x\.exe"):
        assets.load({"x.exe": tmp_path / "x.exe"})


def test_reload_sees_changed_files(tmp_path, monkeypatch):
    (tmp_path / "a.css").write_text("a{}")
    monkeypatch.setattr(assets, "sources", lambda: {"a.css": tmp_path / "a.css"})
    fresh = assets.Assets(reload=True)
    before = fresh.url("a.css")
    (tmp_path / "a.css").write_text("b{}")
    assert fresh.url("a.css") != before


# ---- styles ----

CSS = {name: asset.body.decode() for name, asset in ALL.items() if name.endswith(".css")}
TOKENS = {
    name: (light, dark)
    for name, light, dark in re.findall(
        r"(--[\w-]+):\s*light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", CSS["tokens.css"]
    )
}
GROUNDS = ("bg", "surface", "raised", "sunken", "hover")
TEXT_PAIRS = [
    *itertools.product(("text", "text-muted", "accent-text"), GROUNDS),
    *itertools.product(("success", "warning", "danger", "info"), ("bg", "surface", "raised", "hover")),
    *((tone, f"{tone}-soft") for tone in ("success", "warning", "danger", "info", "neutral")),
    *(("text", f"{tone}-soft") for tone in ("success", "warning", "danger", "info", "neutral")),
    ("text-muted", "neutral-soft"),
    ("text-muted", "accent-soft"),
    ("accent-text", "accent-soft"),
    ("on-accent", "accent"),
    ("on-accent", "accent-hover"),
    ("on-danger", "danger-solid"),
    ("on-danger", "danger-solid-hover"),
    ("success", "sunken"),
    ("warning", "sunken"),
]
EDGE_PAIRS = [
    *itertools.product(("border-strong", "focus"), ("bg", "surface", "sunken")),
    ("accent", "surface"),
    ("warning-fill", "surface"),
    ("danger", "surface"),
]


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_formula_against_known_values():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("front", "back"), TEXT_PAIRS, ids=str)
def test_text_is_readable(front, back, scheme):
    assert contrast(TOKENS[f"--{front}"][scheme], TOKENS[f"--{back}"][scheme]) >= 4.5


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("front", "back"), EDGE_PAIRS, ids=str)
def test_edges_of_controls_are_visible(front, back, scheme):
    assert contrast(TOKENS[f"--{front}"][scheme], TOKENS[f"--{back}"][scheme]) >= 3


def test_initials_are_readable_on_every_tile():
    tiles = re.findall(r"--tile: (#[0-9a-f]{6})", CSS["components.css"])
    assert len(tiles) == 8
    assert min(contrast("#ffffff", tile) for tile in tiles) >= 4.5


def test_styles_are_small_local_and_know_every_name_they_use():
    everywhere = {"tokens.css", "base.css", "components.css", "shell.css"}
    assert sum(len(css) for name, css in CSS.items() if name in everywhere) < 40_000
    assert all(len(css) < 8_000 for name, css in CSS.items() if name not in everywhere)
    text = "\n".join(CSS.values())
    assert not re.search(r"@import|url\(|https?:", text)
    declared = set(re.findall(r"(--[\w-]+)\s*:", text))
    assert set(re.findall(r"var\((--[\w-]+)", text)) <= declared
    assert "prefers-reduced-motion" in text
    assert ":focus-visible" in text


def test_colours_are_declared_in_one_place():
    for name in ("base.css", "components.css"):
        stray = re.findall(r"#[0-9a-f]{3,8}\b", re.sub(r"--tile: #\w+|color: #fff;", "", CSS[name]))
        assert not stray, f"{name} has colours of its own: {stray}"


def test_htmx_is_served_from_its_package_and_scripts_evaluate_nothing():
    assert ALL["htmx.min.js"].body.startswith(b"var htmx=")
    assert not re.search(r"\beval\(|new Function|innerHTML|document\.write", ALL["app.js"].body.decode())
