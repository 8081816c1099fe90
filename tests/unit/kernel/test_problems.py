"""How failures reach programs and people."""

from typing import Any

import pytest
import structlog
from httpx import ASGITransport, AsyncClient
from litestar import Litestar, Request, Response, get
from litestar.exceptions import HTTPException, TooManyRequestsException
from litestar.params import FromQuery

from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError, UnavailableError
from trunkline.kernel.problems import SeeOtherError, exception_handlers

FAILURES: dict[str, Exception] = {
    "field": BadInputError("Give a name.", field="name"),
    "extra": ConflictError("Another account.", expected="A", status="stolen", retry_after=2.2),
    "absent": NotFoundError(),
    "away": UnavailableError("Try again soon.", retry_after=30),
    "many": TooManyRequestsException(headers={"Retry-After": "7"}),
    "teapot": HTTPException("internal words", status_code=418),
    "broken": ValueError("password=hunter2"),
    "elsewhere": SeeOtherError("/login?next=/portal"),
}


def page(status: int, *, code: str, detail: str, reference: str, home: str) -> Response[str]:
    return Response(f"{status}|{detail}|{reference}|{home}", status_code=status, media_type="text/html")


@get(["/v1/fail/{name:str}", "/portal/fail/{name:str}"])
async def fail(request: Request[Any, Any, Any]) -> None:
    raise FAILURES[request.path_params["name"]]


@get(["/v1/typed", "/portal/typed"])
async def typed(limit: FromQuery[int]) -> int:
    return limit


@pytest.fixture
def client() -> AsyncClient:
    app = Litestar(
        [fail, typed], exception_handlers=exception_handlers(page), openapi_config=None, logging_config=None
    )
    return AsyncClient(transport=ASGITransport(app), base_url="http://test")


async def test_an_expected_failure_is_a_problem_document(client: AsyncClient) -> None:
    answer = await client.get("/v1/fail/field")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "code": "bad_input",
        "detail": "Give a name.",
        "request_id": "-",
        "field": "name",
    }


async def test_extras_are_added_and_replace_nothing(client: AsyncClient) -> None:
    answer = await client.get("/v1/fail/extra")
    assert answer.status_code == answer.json()["status"] == 409
    assert answer.json()["expected"] == "A"
    assert answer.headers["retry-after"] == "3"


@pytest.mark.parametrize(
    ("name", "status", "code", "wait"),
    [
        ("absent", 404, "not_found", None),
        ("away", 503, "unavailable", "30"),
        ("many", 429, "too_many_requests", "7"),
        ("teapot", 418, "request_refused", None),
    ],
)
async def test_codes_and_when_to_come_back(
    client: AsyncClient, name: str, status: int, code: str, wait: str | None
) -> None:
    answer = await client.get(f"/v1/fail/{name}")
    assert (answer.status_code, answer.json()["code"], answer.headers.get("retry-after")) == (
        status,
        code,
        wait,
    )
    assert "internal words" not in answer.text


async def test_a_value_of_the_wrong_kind_names_its_field_and_not_the_address(client: AsyncClient) -> None:
    body = (await client.get("/v1/typed?limit=many&token=sesame")).json()
    assert (body["status"], body["field"]) == (400, "limit")
    assert body["errors"] == [{"field": "limit", "message": "Expected `int`, got `str`.", "source": "query"}]
    assert "sesame" not in str(body)


async def test_an_unexpected_error_is_logged_and_not_told(client: AsyncClient) -> None:
    with structlog.testing.capture_logs() as lines:
        answer = await client.get("/v1/fail/broken")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert [line["event"] for line in lines] == ["unexpected_error"]
    assert lines[0]["path"] == "/v1/fail/{name}"


async def test_people_get_a_page(client: AsyncClient) -> None:
    answer = await client.get("/portal/fail/field")
    assert (answer.status_code, answer.text) == (400, "400|Give a name.||/")
    assert (await client.get("/portal/fail/absent")).text == "404|||/"
    assert (await client.get("/portal/fail/broken")).text == "500||-|/"
    assert (await client.get("/portal/typed?limit=x")).status_code == 400
    assert (await client.get("/nowhere")).text == "404|||/"


async def test_readers_are_sent_on_and_htmx_in_its_own_way(client: AsyncClient) -> None:
    answer = await client.get("/portal/fail/elsewhere")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/portal")
    answer = await client.get("/portal/fail/elsewhere", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (200, "/login?next=/portal")
