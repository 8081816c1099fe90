"""What can be checked about the image and the compose file without an engine."""

import re
from pathlib import Path

import yaml

from trunkline.kernel.settings import PREFIX, Settings, variable
from trunkline.main import cli

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text()
COMPOSE_TEXT = (ROOT / "docker/compose.yaml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
KNOWN = {variable(field) for field in Settings.__struct_fields__}


def instructions(word: str) -> list[list[str]]:
    return [line.split()[1:] for line in DOCKERFILE.splitlines() if line.startswith(f"{word} ")]


def test_whatever_is_copied_exists_and_is_not_ignored() -> None:
    sources = [name for words in instructions("COPY") if not words[0].startswith("--") for name in words[:-1]]
    assert len(sources) >= 9
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / "docker/Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    for name in sources:
        assert (ROOT / name).exists(), name
    assert set(sources) == allowed


def test_every_folder_of_the_distribution_is_copied() -> None:
    import tomllib

    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {Path(path).parts[0] for path in [*wheel["packages"], *wheel["force-include"]]}
    copied = {name for words in instructions("COPY") for name in words[:-1]}
    assert needed <= copied


def test_commands_exist_and_the_user_is_not_root() -> None:
    assert [words[0] for words in instructions("USER")] == ["10001"]
    assert set(re.findall(r'^CMD \["(\w+)"\]', DOCKERFILE, re.MULTILINE)) <= set(cli.commands)
    ours = [service for service in COMPOSE["services"].values() if service.get("image") == "trunkline"]
    assert len(ours) == 4
    for service in ours:
        assert service["command"][0] in cli.commands
        assert service["build"]["dockerfile"] == "docker/Dockerfile"


def test_settings_and_services_that_are_named_exist() -> None:
    container = set(re.findall(r"(TRUNKLINE_[A-Z_]+)=", DOCKERFILE))
    for service in COMPOSE["services"].values():
        container |= {name for name in service.get("environment", {}) if name.startswith(PREFIX)}
        for name in service.get("depends_on", {}):
            assert name in COMPOSE["services"]
    assert container <= KNOWN
    assert {"TRUNKLINE_DATABASE_URL", "TRUNKLINE_VALKEY_URL", "TRUNKLINE_DATA"} <= container


def test_the_servers_are_the_versions_that_tests_ran_on() -> None:
    from trunkline.kernel.embedded.binaries import POSTGRES_MAJOR

    assert COMPOSE["services"]["postgres"]["image"] == f"postgres:{POSTGRES_MAJOR}"
    assert COMPOSE["services"]["valkey"]["image"] == "valkey/valkey:9"
    for service in COMPOSE["services"].values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
