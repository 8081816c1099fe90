"""The check and the grading of a partner's connector, in a process that may die.

The child gets manifest and fixtures, as files in a folder of its own, and no Python of the package's; limits
on time, memory and files end it whatever the manifest makes it do. What needs the package's own simulator
cannot be graded here, and says so.
"""

import asyncio
import contextlib
import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from trunkline.packages.archive import MANIFEST, Archive
from trunkline.packages.repository import Found
from trunkline.sdk.manifest import ManifestError, read_manifest
from trunkline.sdk.quality import Graded

if TYPE_CHECKING:
    from trunkline.kit.checking import Finding

SECONDS: Final = 240.0
"""By the clock; the scaffold takes 5."""
CPU_SECONDS: Final = 120
MEMORY_BYTES: Final = 2 * 1024 * 1024 * 1024
ANSWER_BYTES: Final = 1024 * 1024
NOT_HERE: Final = (
    "Not graded here: it needs the package's own simulator, whose code Trunkline never runs. "
    "The partner's `trunkline connector grade` tells."
)


class Examined(msgspec.Struct, frozen=True):
    findings: list[Found]
    graded: Graded | None


async def examine(name: str, archive: Archive) -> Examined:
    """Never raises for what a package holds: then it is a finding."""
    with tempfile.TemporaryDirectory(prefix="trunkline-") as folder:
        home = Path(folder) / name
        await asyncio.to_thread(_lay_out, home, archive.data())
        trouble, answer = await _run(home)
    if trouble:
        return Examined([Found(1, f"It could not be examined: {trouble}.")], None)
    try:
        found = msgspec.json.decode(answer, type=Examined)
    except msgspec.DecodeError:
        return Examined([Found(1, "It could not be examined: its process ended.")], None)
    return msgspec.structs.replace(found, graded=found.graded and _honest(found.graded, archive))


def _lay_out(home: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


async def _run(home: Path) -> tuple[str, bytes]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        __name__,
        str(home),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
        cwd=home,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(SECONDS):
            assert process.stdout is not None
            answer = await process.stdout.read(ANSWER_BYTES)
            while (more := await process.stdout.read(ANSWER_BYTES)) and len(answer) < ANSWER_BYTES:
                answer += more
            if len(answer) >= ANSWER_BYTES:
                return "its report is too long", b""
            await process.wait()
    except TimeoutError:
        return f"it took longer than {SECONDS:.0f} seconds", b""
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return "", answer


def _honest(graded: Graded, archive: Archive) -> Graded:
    """What could not be tried here, and what is the partner's word alone, says so."""
    from trunkline.kit.grading import RULES

    own = "simulator.py" in archive.files
    suite = {one.name for one in RULES if one.look is None}
    said = _said(archive)
    rules = []
    for rule in graded.rules:
        detail = rule.detail
        if rule.standing == "todo" and own and rule.rule in suite:
            detail = NOT_HERE
        elif rule.standing != "todo" and detail == said.get(rule.rule):
            detail = f"The partner says: {detail}"
        rules.append(msgspec.structs.replace(rule, detail=detail))
    return msgspec.structs.replace(graded, rules=rules)


def _said(archive: Archive) -> dict[str, str]:
    """Rule -> what the manifest claims of it itself."""
    try:
        quality = read_manifest(archive.manifest, "manifest.toml").quality
    except ManifestError:
        return {}
    return {**quality.done, **quality.exempt}


def _said_of(finding: "Finding") -> str:
    """What is shown is a line of the manifest, unless it says otherwise."""
    name = finding.path.name
    return finding.message if name == MANIFEST else f"{name}: {finding.message}"


def _child(home: Path) -> None:
    """Reads the folder, writes `Examined` to stdout."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    from trunkline.kit.checking import check
    from trunkline.kit.grading import grade
    from trunkline.kit.package import open_package

    findings = [Found(one.line, _said_of(one), one.suggestion) for one in check(home)]
    graded = None
    with contextlib.suppress(ManifestError):
        graded = asyncio.run(grade(open_package(home)))
    os.write(1, msgspec.json.encode(Examined(findings, graded)))


if __name__ == "__main__":
    _child(Path(sys.argv[1]))
