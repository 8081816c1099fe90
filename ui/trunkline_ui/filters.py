"""How values read on a page: times, numbers, sizes, JSON. All output is escaped."""

import json
import re
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from markupsafe import Markup, escape

ABSENT = "–"
"""Stands for None wherever a value is shown."""

_AGO_STEPS = ((60, "s"), (3600, "min"), (86400, "h"), (30 * 86400, "d"))
_DIVISORS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def relative(value: datetime, now: datetime) -> str:
    """`just now` within 5 s, s, min, h, d up to 30 days, then the date; `static/app.js` says the same."""
    seconds = (now - value).total_seconds()
    size = abs(seconds)
    if size < 5:
        return "just now"
    for limit, unit in _AGO_STEPS:
        if size < limit:
            amount = f"{int(size // _DIVISORS[unit])} {unit}"
            return f"{amount} ago" if seconds > 0 else f"in {amount}"
    return f"{value:%d %b %Y}".removeprefix("0")


def ago(value: datetime | None, absent: str = "never", now: datetime | None = None) -> Markup:
    """A `<time>` kept fresh in the browser, the exact UTC moment on hover; ValueError without a time zone."""
    if value is None:
        return Markup('<span class="muted">{}</span>').format(absent)
    moment = _utc(value)
    text = relative(moment, _utc(now) if now else datetime.now(UTC))
    return Markup('<time datetime="{}" title="{}" data-ago>{}</time>').format(
        moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"), _exact(moment), text
    )


def since(value: datetime | None, absent: str = ABSENT, now: datetime | None = None) -> Markup:
    """How long something has lasted, as a `<time>` kept fresh: just now, for 3 min, since 4 Sep 2024."""
    if value is None:
        return Markup('<span class="muted">{}</span>').format(absent)
    moment = _utc(value)
    text = relative(moment, _utc(now) if now else datetime.now(UTC))
    if text.endswith(" ago"):
        text = f"for {text.removesuffix(' ago')}"
    elif text[:1].isdigit():
        text = f"since {text}"
    return Markup('<time datetime="{}" title="{}" data-ago="since">{}</time>').format(
        moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"), _exact(moment), text
    )


def moment(value: datetime | None, absent: str = ABSENT) -> Markup:
    """The exact UTC moment as a `<time>`."""
    if value is None:
        return escape(absent)
    utc = _utc(value)
    return Markup('<time datetime="{}">{}</time>').format(utc.isoformat(), _exact(utc))


def clock(value: datetime | None, absent: str = ABSENT) -> Markup:
    """hh:mm:ss UTC as a `<time>`, for moments near now; in the browser's own zone with JavaScript."""
    if value is None:
        return escape(absent)
    utc = _utc(value)
    return Markup('<time datetime="{}" title="{}" data-clock>{} UTC</time>').format(
        utc.isoformat(timespec="milliseconds").replace("+00:00", "Z"), _exact(utc), f"{utc:%H:%M:%S}"
    )


def number(value: float | None) -> str:
    """Groups of three, at most two decimals: 12,345 or 12,345.5."""
    if value is None:
        return ABSENT
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def percent(ratio: float | None) -> str:
    """0.125 -> 12.5%; never rounded up to 100% nor down to 0%."""
    if ratio is None:
        return ABSENT
    if 0 < ratio < 0.001:
        return "<0.1%"
    if 0.999 < ratio < 1:
        return ">99.9%"
    return f"{ratio * 100:,.1f}".removesuffix(".0") + "%"


def filesize(count: int | None) -> str:
    """Bytes in decimal units: 999 B, 1.5 kB, 2 MB."""
    if count is None:
        return ABSENT
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        size /= 1000
        if size < 999.95 or unit == "PB":
            return f"{size:,.1f}".removesuffix(".0") + f" {unit}"
    raise AssertionError(count)


def duration(value: timedelta | float | None) -> str:
    """Seconds or a timedelta with its two largest units: 850 ms, 12.3 s, 3 min 5 s, 2 h 10 min, 3 d 4 h."""
    if value is None:
        return ABSENT
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    if round(seconds, 3) < 1:
        return f"{sign}{round(seconds * 1000)} ms"
    if round(seconds, 1) < 60:
        return sign + f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for size, unit, small, small_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            major, rest = divmod(whole, size)
            minor = rest // small
            return f"{sign}{major:,} {unit}" + (f" {minor} {small_unit}" if minor else "")
    raise AssertionError(value)


_ONE = {60: "minute", 3600: "hour", 86400: "day"}


def every(seconds: float) -> str:
    """How often: every minute, every 15 min, every 2 h."""
    return f"every {_ONE.get(int(seconds)) or duration(seconds)}"


def times(count: int) -> str:
    """once, twice, 3 times, 1,000 times."""
    return {1: "once", 2: "twice"}.get(count) or f"{number(count)} times"


def pluralize(count: int, singular: str, plural: str | None = None) -> str:
    """1 record, 12,345 records; the plural is singular + s unless given."""
    return f"{number(count)} {singular if count == 1 else plural or singular + 's'}"


def words(name: object) -> str:
    """`reconnect_needed` -> `Reconnect needed`."""
    text = str(name).replace("_", " ").replace("-", " ").strip()
    return text[:1].upper() + text[1:]


def initials(name: object) -> str:
    """At most two letters for an avatar; `?` for a name without letters."""
    parts = [part for part in re.split(r"[\W_]+", str(name)) if part]
    if not parts:
        return "?"
    letters = parts[0][0] + (parts[-1][0] if len(parts) > 1 else "")
    return letters.upper()[:2]


def hue(name: object) -> int:
    """One of eight colours of a tile (0 to 7), always the same for the same name."""
    return (zlib.crc32(str(name).encode("utf-8", "surrogatepass")) >> 12) % 8


def pretty_json(value: object) -> str:
    """Indented JSON of anything msgspec can turn into builtins; a str is taken to be JSON text if it is."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return str(value)
    builtins = msgspec.to_builtins(value, str_keys=True, enc_hook=str)
    return json.dumps(builtins, indent=2, ensure_ascii=False)


_JSON_TOKEN = re.compile(
    r'("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?'
)


def highlight_json(value: object) -> Markup:
    """`pretty_json` with spans for keys, strings and other values; everything is escaped."""
    text = pretty_json(value)
    out: list[Markup] = []
    end = 0
    for found in _JSON_TOKEN.finditer(text):
        out.append(escape(text[end : found.start()]))
        if found[1] is None:
            kind, token, rest = "v", found[0], ""
        elif found[2] is None:
            kind, token, rest = "s", found[1], ""
        else:
            kind, token, rest = "k", found[1], found[2]
        out.append(Markup('<span class="j-{}">{}</span>{}').format(kind, token, rest))
        end = found.end()
    out.append(escape(text[end:]))
    return Markup().join(out)


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone; pages show aware datetimes only.")
    return value.astimezone(UTC)


def _exact(value: datetime) -> str:
    return f"{value:%d %b %Y, %H:%M:%S} UTC".removeprefix("0")


FILTERS: dict[str, Callable[..., Any]] = {
    "ago": ago,
    "since": since,
    "moment": moment,
    "clock": clock,
    "number": number,
    "percent": percent,
    "filesize": filesize,
    "duration": duration,
    "every": every,
    "times": times,
    "pluralize": pluralize,
    "words": words,
    "split": str.split,
    "initials": initials,
    "hue": hue,
    "pretty_json": pretty_json,
    "highlight_json": highlight_json,
}
