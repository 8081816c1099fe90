"""Secrets that were committed by mistake: in the files of this checkout, and in every line ever added.

Values that only look like secrets are listed in known.toml, each with its reason. What is found is shown by
place and kind, never by value.
"""

import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OWN = "tests/audit/known.toml"


def known() -> set[str]:
    return set(tomllib.loads((ROOT / OWN).read_text("utf-8"))["known"])


def git(*arguments: str) -> str:
    environment = {**os.environ, "GIT_PAGER": "cat"}
    done = subprocess.run(
        ["git", "-c", "core.quotePath=false", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode("utf-8", "replace")


def added() -> dict[str, dict[str, str]]:
    """Path -> line -> the commit that added it first, over all of history."""
    lines: dict[str, dict[str, str]] = {}
    commit = path = ""
    for line in git(
        "log", "--all", "--reverse", "--no-color", "-p", "--unified=0", "--format=commit %H"
    ).split("\n"):
        if line.startswith("commit "):
            commit = line[7:19]
        elif line.startswith("+++ "):
            path = line[6:].split("\t")[0] if line.startswith("+++ b/") else ""
        elif line.startswith("+") and path:
            lines.setdefault(path, {}).setdefault(line[1:], commit)
    return lines


def found(files: dict[str, Path], passed: set[str]) -> Iterator[tuple[str, int, str]]:
    """Path, line and kind of each."""
    from detect_secrets import SecretsCollection  # of the group audit: not everybody has it
    from detect_secrets.settings import default_settings

    with default_settings():
        for name, file in sorted(files.items()):
            if name == OWN:
                continue
            secrets = SecretsCollection()
            secrets.scan_file(str(file))
            for _, secret in secrets:
                if secret.secret_value not in passed:
                    yield name, secret.line_number, secret.type


def main() -> int:
    passed = known()
    try:
        tracked = [name for name in git("ls-files", "-z").split("\0") if name and (ROOT / name).is_file()]
        history = added()
        shallow = git("rev-parse", "--is-shallow-repository").strip() == "true"
    except (OSError, subprocess.CalledProcessError):
        sys.stdout.write(
            "Secrets: this is no git checkout, so neither its files nor its history can be listed.\n"
        )
        return 1
    said = [f"  {name}:{line}: {kind}" for name, line, kind in found({n: ROOT / n for n in tracked}, passed)]
    with tempfile.TemporaryDirectory() as folder:
        copies = {}
        for number, (name, lines) in enumerate(history.items()):
            copies[name] = Path(folder, str(number), Path(name).name)
            copies[name].parent.mkdir()
            copies[name].write_text("\n".join(lines), "utf-8")
        for name, line, kind in found(copies, passed):
            commit = list(history[name].values())[line - 1]
            said.append(f"  {name} in commit {commit}: {kind}")
    scope = f"{len(tracked)} files and {sum(map(len, history.values())):,} lines of history"
    if shallow:
        scope += " (a shallow clone: older history was not seen)"
    if said:
        advice = "revoke what is real; list what only looks so, with its reason, in " + OWN
        sys.stdout.write(f"Secrets: {len(said)} in {scope}; {advice}:\n" + "\n".join(said) + "\n")
        return 1
    sys.stdout.write(f"Secrets: none in {scope}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
