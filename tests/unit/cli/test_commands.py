import asyncio
import socket
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from trunkline.cli import Composition, Doorway, build
from trunkline.cli.failures import Failure
from trunkline.cli.probes import place
from trunkline.cli.serving import bind
from trunkline.cli.table import doorways_text
from trunkline.kernel.settings import Settings


async def _nothing(*_: object) -> None: ...


async def _seed(_: Settings) -> list[Doorway]:
    return []


async def _work(_: Settings, stop: asyncio.Event) -> None:
    await stop.wait()


CLI = build(
    Composition(
        web_app=lambda _: _nothing,
        run_worker=_work,
        sandbox_app=lambda _: _nothing,
        product_app=lambda _: _nothing,
        seed_demo=_seed,
    )
)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("TRUNKLINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRUNKLINE_DATA", str(tmp_path / "data"))


def test_every_command_of_the_installation_is_there() -> None:
    assert {"up", "web", "worker", "sandbox", "migrate", "seed", "doctor", "bench"} <= set(CLI.commands)


@pytest.mark.parametrize("name", sorted(CLI.commands))
def test_each_command_says_what_it_does(name: str) -> None:
    done = CliRunner().invoke(CLI, [name, "--help"])
    assert done.exit_code == 0
    command = CLI.commands[name]
    assert command.help
    assert len(command.get_short_help_str(limit=200)) > 20
    for parameter in command.params:
        assert isinstance(parameter, click.Option)
        assert parameter.help, f"{name} {parameter.name}"


def test_the_groups_help_has_examples_and_every_summary_fits() -> None:
    done = CliRunner().invoke(CLI, ["--help"], terminal_width=80)
    assert "Examples:" in done.output
    assert "..." not in done.output.partition("Commands:")[2].partition("Examples:")[0]


def test_the_version_is_shown() -> None:
    from importlib.metadata import version

    assert CliRunner().invoke(CLI, ["--version"]).output == f"Trunkline {version('trunkline')}\n"


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"TRUNKLINE_PORT": "none"}, "TRUNKLINE_PORT"),
        ({"TRUNKLINE_DATABASE_URL": "sqlite://"}, "TRUNKLINE_DATABASE_URL"),
        ({"TRUNKLINE_DATA": "/proc/nowhere"}, "/proc/nowhere"),
    ],
)
def test_expected_failures_are_one_sentence_and_exit_1(env: dict[str, str], words: str) -> None:
    done = CliRunner().invoke(CLI, ["migrate"], env=env)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert words in done.stderr


def test_a_lone_worker_without_servers_is_told_what_to_do() -> None:
    done = CliRunner().invoke(CLI, ["worker"])
    assert done.exit_code == 1
    assert "trunkline up" in done.stderr
    assert "TRUNKLINE_DATABASE_URL and TRUNKLINE_VALKEY_URL" in done.stderr


def test_reset_leaves_a_database_of_ones_own_alone() -> None:
    done = CliRunner().invoke(
        CLI, ["up", "--reset", "--yes"], env={"TRUNKLINE_DATABASE_URL": "postgresql://a:b@db/x"}
    )
    assert done.exit_code == 1
    assert "yourself" in done.stderr


def test_a_taken_port_names_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Failure, match=rf"Port {port} on 127\.0\.0\.1 is taken.*TRUNKLINE_SANDBOX_PORT"):
            bind("127.0.0.1", port, "TRUNKLINE_SANDBOX_PORT")


def test_an_address_that_is_not_ours_names_the_host() -> None:
    with pytest.raises(Failure, match="TRUNKLINE_HOST"):
        bind("192.0.2.1", 8700, "TRUNKLINE_PORT")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://app:hush@db.internal:5432/main?sslmode=require", "db.internal:5432/main"),
        ("redis://:hush@cache:6379/0", "cache:6379/0"),
        ("unix:///run/valkey.sock?db=0", "/run/valkey.sock"),
        (
            "postgresql://trunkline:hush@/trunkline?host=/x",
            "the embedded server's socket, database trunkline",
        ),
    ],
)
def test_addresses_are_shown_without_passwords(url: str, shown: str) -> None:
    assert place(url) == shown


def test_the_greeting_lines_up() -> None:
    doors = [
        Doorway(
            audience="End customer",
            address="http://a/portal",
            login="ada@x.test",
            password="pw",
            first="Connect.",
        ),
        Doorway(audience="Product", address="http://b"),
    ]
    lines = click.unstyle(doorways_text(doors)).splitlines()
    assert lines[0].split() == ["For", "Address", "Login"]
    assert lines[1].index("http://a") == lines[2].index("http://b") == lines[0].index("Address")
    assert "ada@x.test / pw" in lines[1]
    assert lines[-1].strip() == "- End customer: Connect."
