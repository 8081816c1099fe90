"""Runbooks as markup. They are ours, yet nothing in them can become a script."""

import functools

import msgspec
from markdown_it import MarkdownIt
from markupsafe import Markup

from trunkline.resilience.failures import runbook

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


class RunbookText(msgspec.Struct, frozen=True):
    title: str
    body: Markup
    """Without the title, so that a page has one heading of the first level."""


def read_markdown(text: str) -> RunbookText:
    """The first line is the title; raw HTML in `text` is shown, not run."""
    first, _, rest = text.strip().partition("\n")
    return RunbookText(title=first.removeprefix("# ").strip(), body=Markup(_MARKDOWN.render(rest)))  # noqa: S704  html is disabled


@functools.cache
def runbook_text(code: str) -> RunbookText:
    """Of `unclassified` where the code is unknown."""
    return read_markdown(runbook(code))
