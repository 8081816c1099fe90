"""The composition root: the only module that may look upward, and the `trunkline` command.

Every hook imports what it needs when called, so that the command itself starts quickly.
"""

from typing import Any

from trunkline.cli import Composition, build
from trunkline.kernel.settings import Settings


def web_app(settings: Settings) -> Any:
    """Portal, console, widget and API."""
    from litestar import Litestar, get

    @get("/healthz", sync_to_thread=False, include_in_schema=False)
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return Litestar([healthz], debug=settings.env == "development" and settings.log_level == "debug")


cli = build(Composition(web_app=web_app))

if __name__ == "__main__":
    cli()
