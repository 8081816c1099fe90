"""What the suite found, for a terminal and as a page of its own."""

from collections.abc import Sequence
from html import escape
from typing import Final

from trunkline.kit.suite import Result
from trunkline.sdk.manifest import Manifest

_MARKS: Final = {"passed": "ok  ", "failed": "FAIL", "exempt": "--  "}
_STYLE: Final = """
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.5rem .75rem;border-bottom:1px solid color-mix(in srgb,CanvasText 20%,Canvas);
vertical-align:top}
td:first-child{white-space:nowrap}
.failed{color:light-dark(#b3261e,#ff8a80)}
.passed{color:light-dark(#1b6e3c,#7bd88f)}
.exempt{color:GrayText}
@media(max-width:40rem){thead{display:none}td{display:block;border:0;padding:.1rem 0}tr{display:block;
padding:.75rem 0;border-bottom:1px solid color-mix(in srgb,CanvasText 20%,Canvas)}}
"""


def summary(results: Sequence[Result]) -> str:
    failed = sum(one.state == "failed" for one in results)
    exempt = sum(one.state == "exempt" for one in results)
    passed = len(results) - failed - exempt
    return f"{passed} passed, {failed} failed, {exempt} not applicable"


def terminal(manifest: Manifest, results: Sequence[Result]) -> str:
    lines = [f"{manifest.label} {manifest.version}"]
    for one in results:
        lines.append(f"  {_MARKS[one.state]}  {one.title}")
        if one.detail:
            lines.append(f"        {one.detail}")
    return "\n".join([*lines, summary(results)])


def page(manifest: Manifest, results: Sequence[Result]) -> str:
    """HTML that needs nothing else."""
    rows = "".join(
        f'<tr><td class="{one.state}">{escape(one.state)}</td><td>{escape(one.title)}</td>'
        f"<td>{escape(one.detail)}</td><td>{one.seconds:.2f} s</td></tr>"
        for one in results
    )
    title = f"{escape(manifest.label)} {escape(manifest.version)}: conformance"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><h1>{title}</h1><p>{summary(results)}.</p><table><thead><tr><th>Result</th><th>Rule</th>"
        f"<th>Evidence</th><th>Time</th></tr></thead><tbody>{rows}</tbody></table></body></html>\n"
    )
