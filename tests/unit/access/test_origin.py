import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.access.origin import checked_origin
from trunkline.access.tickets import CODE, TOKEN, new_ticket, read_ticket
from trunkline.kernel.errors import BadInputError
from trunkline.kernel.ids import new_id


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("https://APP.example.com", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("https://app.example.com:8443", "https://app.example.com:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://acme.localhost:3000", "http://acme.localhost:3000"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("https://xn--mnchen-3ya.example", "https://xn--mnchen-3ya.example"),
    ],
)
def test_an_origin_is_kept_as_browsers_say_it(given_, kept):
    assert checked_origin(given_) == kept
    assert checked_origin(kept) == kept


@pytest.mark.parametrize(
    "value",
    [
        "",
        "null",
        "*",
        "app.example.com",
        "//app.example.com",
        "http://app.example.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "ftp://app.example.com",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://app.example.com?x",
        "https://app.example.com#x",
        "https://user@app.example.com",
        "https://user:pw@app.example.com",
        "https://app.example.com:0",
        "https://app.example.com:99999",
        "https://app.example.com:",
        "https://app.example.com:0443",
        "https://*.example.com",
        "https://app.example.com https://evil.example",
        "https://app.example.com;script-src *",
        "https://app.example.com\n",
        "https://app..example.com",
        "https://münchen.example",
        "https://app.example.com'",
        "https://[::1",
    ],
)
def test_anything_else_is_refused(value):
    with pytest.raises(BadInputError, match="scheme, host and port"):
        checked_origin(value)


@given(st.text(max_size=60))
def test_what_is_accepted_can_stand_in_a_policy(value):
    """The origin becomes part of a header: nothing in it may end the directive."""
    try:
        origin = checked_origin(f"https://{value}")
    except BadInputError:
        return
    assert not set(origin) & set(" ;,'\"\r\n\t*\\")
    assert origin.isascii()


@given(st.text(max_size=90))
def test_a_ticket_is_read_in_its_own_form_only(value):
    ticket = new_ticket(TOKEN, new_id())
    assert read_ticket(TOKEN, ticket.value) == ticket
    assert read_ticket(CODE, ticket.value) is None
    assert read_ticket(TOKEN, f"{ticket.value}\n") is None
    assert read_ticket(TOKEN, value) is None
