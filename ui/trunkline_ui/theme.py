"""The reader's choice of light or dark; works without JavaScript, as a form."""

from typing import Annotated, Literal

import msgspec
from litestar import Response, post
from litestar.datastructures import Cookie
from litestar.enums import RequestEncodingType
from litestar.params import Body

_YEAR = 365 * 24 * 3600
OPEN = {"public": True, "session": True}


class ThemeChoice(msgspec.Struct):
    theme: Literal["system", "light", "dark"]
    return_to: str = "/"


@post("/ui/theme", include_in_schema=False, sync_to_thread=False, status_code=303, opt=OPEN)
def choose_theme(
    data: Annotated[ThemeChoice, Body(media_type=RequestEncodingType.URL_ENCODED)],
) -> Response[str]:
    """Back to the page it came from: a path of this site, whatever the form says."""
    target = data.return_to
    if not target.startswith("/") or target.startswith(("//", "/\\")) or not target.isprintable():
        target = "/"
    kept = Cookie(
        key="theme",
        value="" if data.theme == "system" else data.theme,
        max_age=0 if data.theme == "system" else _YEAR,
        path="/",
        samesite="lax",
    )
    return Response(
        "", media_type="text/plain", status_code=303, headers={"location": target}, cookies=[kept]
    )
