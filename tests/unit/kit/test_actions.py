"""A mistake in an action is found in its line; the suite sees what writes twice."""

from pathlib import Path

import pytest

from trunkline.kit.checking import check
from trunkline.kit.package import open_package
from trunkline.kit.scaffolding import scaffold
from trunkline.kit.suite import run


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    scaffold("acme", tmp_path)
    return tmp_path / "acme"


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "manifest.toml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


BODY = 'body = { email = "{email}", name = "{name}" }'


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (BODY, 'body = { email = "{emial}", name = "{name}" }', 'Did you mean "email"'),
        (BODY, 'body = { email = "{email}" }', '"name" is never sent'),
        ('repeat = "find"\nfind', 'repeat = "key"\nfind', "never gets the key"),
        ('repeat = "find"\nfind', 'repeat = "never"\nfind', "need not stay unknown"),
        (
            'query = { email = "{email}" }, records',
            'query = { page = "1" }, records',
            "anything would be found",
        ),
        ("/contacts/{found}", "/contacts/{fuond}", 'Did you mean "found"'),
        ('stream = "contacts"\npath', 'stream = "contact"\npath', 'There is no stream "contact"'),
        ('repeat = "find"\nfind', 'repeat = "find"\nbucket = "wirtes"\nfind', "no rate is declared"),
        (
            'name = "email", label = "Email", required',
            'name = "subdomain", label = "Email", required',
            "another name",
        ),
        (
            '{ name = "name", label = "Name", r',
            '{ name = "name", label = "Name", type = "enum", r',
            "options",
        ),
        ('path = "/api/{api_version}/contacts"\nbody', 'path = "contacts"\nbody', "begins with a slash"),
        ('path = "/api/{api_version}/contacts"\nbody', 'path = "/x/{found}"\nbody', "{found} is no value"),
        ('repeat = "find"\nfind', 'repeat = "twice"\nfind', "twice"),
    ],
)
def test_a_mistake_is_found_in_the_action(acme: Path, old: str, new: str, words: str) -> None:
    edit(acme, old, new)
    found = check(acme)
    assert any(words in str(one) for one in found), [str(one) for one in found]
    lines = (acme / "manifest.toml").read_text("utf-8").splitlines()
    first = next(number for number, line in enumerate(lines, 1) if line == "[[actions]]")
    last = next(number for number, line in enumerate(lines, 1) if line == "[refusals]")
    assert all(first <= one.line < last for one in found), [str(one) for one in found]


async def test_an_action_that_would_write_twice_fails(acme: Path) -> None:
    """A create that says of itself that twice is as once."""
    edit(acme, 'repeat = "find"\nfind = { path = "/api/{api_version}/contacts", query = { email = "{email}" }, '
         'records = "data" }\nchange = { method = "PATCH", path = "/api/{api_version}/contacts/{found}" }',
         'repeat = "same"')  # fmt: skip
    assert [str(one) for one in check(acme)] == []
    package = open_package(acme)
    (result,) = await run(package.manifest, package.simulator(), ["actions"])
    assert (result.state, "1 changes are made of one call, and 2" in result.detail) == ("failed", True)


async def test_a_key_that_the_provider_knows_keeps_it_to_one(acme: Path) -> None:
    edit(acme, 'repeat = "find"\nfind = { path = "/api/{api_version}/contacts", query = { email = "{email}" }, '
         'records = "data" }\nchange = { method = "PATCH", path = "/api/{api_version}/contacts/{found}" }',
         'repeat = "key"\nheaders = { "Idempotency-Key" = "{call_key}" }')  # fmt: skip
    package = open_package(acme)
    (result,) = await run(package.manifest, package.simulator(), ["actions"])
    assert result.state == "passed", result.detail
