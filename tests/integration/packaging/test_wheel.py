"""A wheel, installed elsewhere, carries all it needs: the migrations and every template and static file."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import sys
from trunkline.kernel import migrate
import trunkline, trunkline_ui
assert trunkline.__file__.startswith(sys.argv[1]), trunkline.__file__
assert str(migrate._folder()).startswith(sys.argv[1]), migrate._folder()
migrate.upgrade(sys.argv[2])
print(migrate.current(sys.argv[2]) == migrate.head() != "")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="hatchling is not installed in this environment")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    return next(folder.glob("*.whl"))


def test_every_tracked_file_of_a_package_is_in_it(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "platform", "tenants", "connectors", "ui", "migrations"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    inside = set(zipfile.ZipFile(wheel).namelist())
    for name in tracked:
        root, _, rest = name.partition("/")
        expected = f"trunkline/migrations/{rest}" if root == "migrations" else rest
        in_package = rest.startswith("trunkline") and "/" in rest  # beside them lie decisions and a README
        if in_package or root == "migrations":
            assert expected in inside, name


def test_it_runs_elsewhere(wheel: Path, tmp_path: Path, database_url: str) -> None:
    import asyncio

    import asyncpg

    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)

    async def bare() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute("create database from_wheel")
        await connection.close()

    asyncio.run(bare())
    url = database_url.replace(database_url.split("@/")[1].split("?", maxsplit=1)[0], "from_wheel")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r})\n{SCRIPT}", str(site), url],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.strip() == "True", done.stderr
