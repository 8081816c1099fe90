"""A CRM that is never the bottleneck: HubSpot-shaped contacts in answers that are made beforehand.

Started as a process of its own; prints its port. A thousand pages are kept; those behind them are the same
with other ids. `POST /_touch` gives every hundredth contact a new time of change, which a search then finds.
Read by their ids, contacts are newer each time.
"""

import asyncio
import sys
import time
from email.utils import formatdate
from typing import Any, cast

import msgspec
import uvloop

PAGE = 100
SEARCH_PAGE = 200
KEPT = 1000
EVERY = 100
FIRST_ID = 100_000_000_000
BEGAN_MS = 1_700_000_000_000
TOUCHED_MS = 1_760_000_000_000
STAGES = ("lead", "customer", "opportunity", "subscriber", "marketingqualifiedlead")
FIRST = ("Ada", "Grace", "Linus", "Margaret", "Edsger", "Barbara", "Donald", "Frances")
LAST = ("Lovelace", "Hopper", "Torvalds", "Hamilton", "Dijkstra", "Liskov", "Knuth", "Allen", "Müller")
PROPERTIES = (
    "email", "firstname", "lastname", "phone", "jobtitle", "company",
    "city", "country", "website", "lifecyclestage", "createdate", "lastmodifieddate",
)  # fmt: skip


def iso(ms: int) -> str:
    moment = time.gmtime(ms // 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{ms % 1000:03d}Z"


def contact(number: int, *, touched: bool = False) -> dict[str, Any]:
    """Its id has always twelve digits, so that pages can be renumbered in place."""
    first, last = FIRST[number % len(FIRST)], LAST[number % len(LAST)]
    created = BEGAN_MS + number * 1000
    changed = TOUCHED_MS + number if touched else created
    return {
        "id": str(FIRST_ID + number),
        "properties": {
            "email": f"{first.lower()}.{number}@example-{number % 977}.com",
            "firstname": first,
            "lastname": last,
            "phone": f"+49 30 {number:08d}",
            "jobtitle": f"Head of {'promises' if touched else 'engines'} {number % 13}",
            "company": f"Company {number % 977} GmbH",
            "city": "Berlin",
            "country": "Germany",
            "website": f"https://www.example-{number % 977}.com/people/{number}",
            "lifecyclestage": STAGES[number % 19 % len(STAGES)],
            "createdate": iso(created),
            "lastmodifieddate": iso(changed),
        },
        "createdAt": iso(created),
        "updatedAt": iso(changed),
        "archived": False,
    }


def answer(body: bytes) -> bytes:
    return b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def listed(contacts: list[dict[str, object]], after: str | None, **more: object) -> bytes:
    body: dict[str, object] = {**more, "results": contacts}
    if after is not None:
        body["paging"] = {"next": {"after": after, "link": f"https://api.example.com/?after={after}"}}
    return answer(msgspec.json.encode(body))


class Pages:
    def __init__(self, records: int) -> None:
        self.records = records
        self.pages = -(-records // PAGE)
        self.touched = False
        self._reads = 0
        self._kept = [self._page(number) for number in range(min(self.pages, KEPT))]
        self._places: dict[int, list[int]] = {}
        self._nothing = answer(b'{"results":[]}')

    def _page(self, number: int) -> bytes:
        start = number * PAGE
        last = number + 1 >= self.pages
        contacts = [contact(one) for one in range(start, min(start + PAGE, self.records))]
        return listed(contacts, None if last else f"{(number + 1) * PAGE:012d}")

    def page(self, after: int) -> bytes:
        number = after // PAGE
        if number < KEPT:
            return self._kept[number]
        like = number % KEPT
        if like == KEPT - 1 or number + 1 >= self.pages:
            return self._page(number)
        template = self._kept[like]
        places = self._places.get(like)
        if places is None:
            places = [
                template.index(b'"id":"%d"' % (FIRST_ID + like * PAGE + one)) + 6 for one in range(PAGE)
            ]
            self._places[like] = places
        body = bytearray(template)
        for offset, place in enumerate(places):
            body[place : place + 12] = b"%d" % (FIRST_ID + number * PAGE + offset)
        old, new = f"{(like + 1) * PAGE:012d}".encode(), f"{(number + 1) * PAGE:012d}".encode()
        return bytes(body).replace(old, new)

    def named(self, asked: dict[str, list[dict[str, str]]]) -> bytes:
        """Those of the ids given, as they are now: each time it is asked they have changed."""
        self._reads += 1
        made = []
        for one in asked["inputs"]:
            number = int(one["id"]) - FIRST_ID
            if 0 <= number < self.records:
                found = contact(number, touched=True)
                now = iso(time.time_ns() // 1_000_000)
                found["properties"] |= {"phone": f"+49 {self._reads}", "lastmodifieddate": now}
                made.append({**found, "updatedAt": now})
        return listed(made, None)

    def archived(self) -> bytes:
        return self._nothing

    def found(self, asked: dict[str, object]) -> bytes:
        """What changed since, ascending by time. Only touched contacts, or the newest few of the list."""
        since = int(asked["filterGroups"][0]["filters"][0]["value"])  # type: ignore[index]
        after = int(str(asked.get("after") or 0))
        changed = [
            (BEGAN_MS + number * 1000, number, False)
            for number in range(max(0, -(-(since - BEGAN_MS) // 1000)), self.records)
            if not (self.touched and number % EVERY == 0)
        ]
        if self.touched:
            first = max(0, since - TOUCHED_MS)
            changed += [
                (TOUCHED_MS + n, n, True) for n in range(-(-first // EVERY) * EVERY, self.records, EVERY)
            ]
        page = changed[after : after + SEARCH_PAGE]
        following = after + SEARCH_PAGE
        more = str(following) if following < len(changed) else None
        return listed([contact(n, touched=flag) for _, n, flag in page], more, total=len(changed))


class Server(asyncio.Protocol):
    """Just enough of HTTP/1.1 for a client that sends one request at a time."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"\r\ncontent-length:")
            length = int(head[at + 17 : (head + b"\r\n").index(b"\r\n", at + 2)]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        method, target, _ = head.split(b" ", 2)
        if target == b"/_touch":
            self._pages.touched = True
            found = answer(b"{}")
        elif target.endswith(b"/batch/read"):
            found = self._pages.named(msgspec.json.decode(body))
        elif method == b"post":
            found = self._pages.found(msgspec.json.decode(body))
        elif b"archived=true" in target:
            found = self._pages.archived()
        elif b"/contacts" in target:
            _, named, rest = target.partition(b"after=")
            found = self._pages.page(int(rest.partition(b"&")[0]) if named else 0)
        else:
            found = answer(b'{"portalId":1}')
        self._transport.write(b"HTTP/1.1 200 OK\r\ndate: " + _date() + b"\r\n" + found)


_now = (0, b"")


def _date() -> bytes:
    global _now  # noqa: PLW0603 - once a second
    second = int(time.time())
    if _now[0] != second:
        _now = second, formatdate(second, usegmt=True).encode()
    return _now[1]


async def main(records: int) -> None:
    pages = Pages(records)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(pages), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)  # until whoever started it ends


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
