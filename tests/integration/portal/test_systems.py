"""Addresses for a customer's own systems: made, tried by the sample that the page shows, changed, removed."""

import asyncio
import base64
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from trunkline_tenants.seed import Seeded

HOME = "/portal/systems"
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]{32}")


def made(page: str) -> tuple[str, str]:
    """Path of its page, and its secret."""
    path = re.search(rf"{HOME}/[0-9a-f-]{{36}}", page)
    secret = SECRET.search(unescape(page))
    assert path is not None
    assert secret is not None
    return path[0], secret[0]


async def test_made_shown_changed_and_removed(owner: Any, people: Seeded, services: Any) -> None:
    assert f'href="{HOME}"' in (await owner.get("/portal/connect")).text
    wrong = await owner.post(HOME, name=" ")
    assert wrong.status_code == 422
    assert "Give a name of 1 to 100 characters." in wrong.text
    path, secret = made((await owner.post(HOME, name="Our <shop>")).text)
    shown = (await owner.get(path)).text
    assert "Our &lt;shop&gt;" in shown
    assert "/hooks/custom/" in shown
    assert secret not in unescape(shown)
    assert path in (await owner.get(HOME)).text
    _, fresh = made((await owner.post(f"{path}/rotate")).text)
    assert fresh != secret
    assert "counts until" in (await owner.get(path)).text
    assert "Two secrets count already" in await owner.flash(await owner.post(f"{path}/rotate"))
    assert "Remove this address?" in (await owner.get(f"{path}/remove")).text
    assert "is removed" in await owner.flash(await owner.post(f"{path}/remove"))
    assert (await owner.get(path)).status_code == 404
    async with services.db.tenant(people.tenants["globex"].id) as session:
        rows = await session.execute(text("SELECT action, detail::text FROM audit_entries ORDER BY sequence"))
        told = rows.all()
    assert [row.action for row in told][-3:] == ["hook.added", "hook.rotated", "hook.removed"]
    assert secret not in repr(told)


async def test_other_roles_and_other_organisations_stay_outside(
    owner: Any, viewer: Any, visitors: Any
) -> None:
    path, _ = made((await owner.post(HOME, name="Our shop")).text)
    assert (await viewer.get(HOME)).status_code == 403
    peter = await visitors("peter@initech.example")
    assert path not in (await peter.get(HOME)).text
    assert (await peter.get(path)).status_code == 404
    assert (await peter.post(f"{path}/rotate")).status_code == 404
    assert (await peter.post(f"{path}/remove")).status_code == 404


async def test_the_sample_signs_as_the_library_does(owner: Any, tmp_path: Path) -> None:
    """The shell's own words are run, with a curl that notes what it is given."""
    if not all(shutil.which(one) for one in ("sh", "openssl", "base64", "od")):
        pytest.skip("the sample needs sh, openssl, base64 and od")
    from standardwebhooks import Webhook

    path, secret = made((await owner.post(HOME, name="Our shop")).text)
    shown = unescape((await owner.get(path)).text)
    found = re.search(r"<code>(secret=….*?)</code>", shown, re.DOTALL)
    assert found is not None
    script = found[1].replace("secret=… #", f"secret={secret.removeprefix('whsec_')} #")
    curl = tmp_path / "curl"
    curl.write_text('#!/bin/sh\nfor one in "$@"; do printf "%s\\n" "$one"; done\n')
    curl.chmod(0o755)
    run = await asyncio.to_thread(
        subprocess.run,
        ["sh", "-c", script],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    said = run.stdout.splitlines()
    headers = dict(one.split(": ", 1) for one in said if one.startswith("webhook-"))
    body = said[-1]
    assert Webhook(secret).verify(body, headers)["type"] == "order.paid"
    assert len(base64.b64decode(headers["webhook-signature"].removeprefix("v1,"))) == 32
