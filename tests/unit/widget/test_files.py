"""What the widget puts into other people's pages."""

import gzip
import re
from importlib.resources import files

import pytest

FOLDER = files("trunkline_ui").joinpath("static/widget")
TEMPLATES = files("trunkline_ui").joinpath("templates/widget")
NAMES = sorted(entry.name for entry in FOLDER.iterdir())


def test_the_loader_is_small():
    assert len(gzip.compress(FOLDER.joinpath("v1.js").read_bytes())) <= 5 * 1024


@pytest.mark.parametrize("name", NAMES)
def test_no_file_reaches_out_or_needs_another_policy(name):
    source = FOLDER.joinpath(name).read_text("utf-8")
    assert not re.search(r"https?://", source)
    assert not re.search(r"\beval\(|new Function|document\.write|localStorage|sessionStorage", source)
    assert '"*"' not in source, "a message must name its target"


@pytest.mark.parametrize("name", [entry.name for entry in TEMPLATES.iterdir()])
def test_no_template_has_inline_script_or_style(name):
    source = TEMPLATES.joinpath(name).read_text("utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|https?://", source)


def test_the_token_travels_in_no_address():
    source = FOLDER.joinpath("v1.js").read_text("utf-8")
    assert re.findall(r"frame\.src = `([^`]*)`", source) == ["${origin}/widget/frame/${id[1]}"]
    assert re.findall(r"postMessage\((.*)\);", source) == [
        '{ trunkline: 1, type: "open", nonce: data.nonce, token }, origin'
    ]
