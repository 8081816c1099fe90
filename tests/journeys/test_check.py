"""What the journeys' own question to a page does when a click is still bringing the next one."""

import pytest
from litestar import Litestar, MediaType, get

HEAD = '<!doctype html><html lang="en"><head><meta charset="utf-8">'
MANY = "".join(f"<p>Paragraph {number}</p>" for number in range(4000))


@get("/", media_type=MediaType.HTML)
async def leaving() -> str:
    """Long enough that axe-core is still at it when the browser goes on."""
    script = "<script>setTimeout(() => location.assign('/next'), 100)</script>"
    return (
        f"{HEAD}<title>Leaving</title></head><body><main><h1>Leaving</h1>{MANY}</main>{script}</body></html>"
    )


@get("/next", media_type=MediaType.HTML)
async def reached() -> str:
    return f'{HEAD}<title>Next</title></head><body><main><h1>Next</h1><img src="data:,"></main></body></html>'


async def test_a_page_that_leaves_is_asked_again_as_the_one_it_goes_to(serve, open_page, axe):
    origin = await serve(Litestar([leaving, reached]))
    page = await open_page(allow=("404 (",))
    await page.goto(origin)
    with pytest.raises(AssertionError, match=r"/next: image-alt"):
        await axe(page)


async def test_an_error_of_a_page_that_stays_is_told(serve, open_page, axe):
    page = await open_page(allow=("404 (",))
    await page.goto(await serve(Litestar([reached])) + "/next")
    await page.evaluate(
        "Object.defineProperty(window, 'axe', {get() { throw new Error('in the way'); }, set() {}})"
    )
    with pytest.raises(Exception, match="in the way"):
        await axe(page)
