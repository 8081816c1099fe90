"""Known holes in the packages of constraints.txt, from pip-audit's usual service.

Ends with 0 only when every package was looked up and none has a known hole. A package that the service does
not know, or a service that cannot be reached, is no good news and is said.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COMMAND = ("--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json", "--timeout", "15")


def judge(answer: str) -> tuple[list[str], bool]:
    """Lines to say of pip-audit's JSON, and whether all is well."""
    try:
        found: list[dict[str, Any]] = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return [
            "Packages: the list of known holes could not be fetched, so nothing is known. Try again online."
        ], False
    unknown = sorted(one["name"] for one in found if "skip_reason" in one)
    holes = [
        f"  {one['name']} {one['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'no version yet'}"
        for one in found
        for hole in one.get("vulns", [])
    ]
    lines = []
    if holes:
        lines += [
            f"Packages: {len(holes)} known holes. Raise the versions in pyproject.toml, then run make constraints."
        ]
        lines += holes
    if unknown or not found:
        shown = ", ".join(unknown[:5]) + (" and others" if len(unknown) > 5 else "")
        lines += [
            f"Packages: the list of known holes has no answer for {len(unknown) or 'any'} of them"
            + (f" ({shown})" if shown else "")
            + ", so nothing is known of these. Try again where it can be fetched."
        ]
    return lines or [f"Packages: {len(found)} looked up, no known hole."], not lines


def main() -> int:
    program = Path(sys.executable).with_name("pip-audit")
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "constraints.txt"
    done = subprocess.run(
        [program, "--requirement", file, *COMMAND], capture_output=True, text=True, check=False
    )
    lines, well = judge(done.stdout)
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
