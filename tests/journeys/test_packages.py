"""A partner's connector, from the scaffold to a customer's records, its next version and its withdrawal."""

import re
import shutil

import httpx2
from playwright.async_api import expect

from trunkline.packages.archive import pack


def packed(demo, folder, version):
    """The scaffold's package in that version."""
    home = folder / version / "acme"
    shutil.copytree(demo.acme, home, ignore=shutil.ignore_patterns("__pycache__"))
    manifest = home / "manifest.toml"
    text = manifest.read_text().replace('version = "0.1.0"', f'version = "{version}"')
    if version != "0.1.0":
        text = text.replace('{ name = "name", label = "Name" },', '{ name = "name", label = "Full name" },')
    manifest.write_text(text)
    path = folder / f"acme-{version}.zip"
    path.write_bytes(pack(home))
    return path


async def enter(demo, page):
    await page.goto(f"{demo.origin}/login?next=/console/packages")
    await page.get_by_label("E-mail address").fill("chief@trunkline.example")
    await page.get_by_label("Password").fill(demo.staff_password)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Partners' connectors", level=1)).to_be_visible()


async def take_in(demo, page, path):
    await page.goto(f"{demo.origin}/console/packages")
    await page.get_by_label("Package").set_input_files(path)
    await page.get_by_label("Partner", exact=True).fill("Roadrunner Ltd")
    await page.get_by_label("Reason").fill("A customer asked for it")
    await page.get_by_role("button", name="Take in").click()
    await page.wait_for_url(re.compile("/console/packages/[0-9a-f-]{36}"))
    await expect(page.get_by_text("No finding.", exact=True)).to_be_visible()


async def approve(page, slug):
    form = page.locator("form[action$='/approve']")
    await form.get_by_text("Some tenants", exact=True).click()
    await form.get_by_label("Tenants' slugs").fill(slug)
    await form.get_by_label("Reason").fill("They asked for it")
    await form.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("1 more tenant may connect it now.")).to_be_visible()


async def test_from_the_scaffold_to_a_withdrawal(
    demo, organisation, portal, open_page, check, shoot, until, tmp_path
):
    await organisation("coyote", "Coyote Supplies")
    await organisation("mesa", "Mesa Freight")
    staff = await open_page(allow=("422",))
    await enter(demo, staff)
    await check(staff)
    await shoot(staff, "packages-empty")

    # what is too large is said before it is sent, what is no package in words, on the same page
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"x" * (5 * 1024 * 1024))
    await staff.get_by_label("Package").set_input_files(bad)
    said = await staff.get_by_label("Package").evaluate("field => field.validationMessage")
    assert "larger than 4 MB" in said
    bad.write_bytes(b"no zip")
    await staff.get_by_label("Package").set_input_files(bad)
    await staff.get_by_label("Partner", exact=True).fill("Roadrunner Ltd")
    await staff.get_by_label("Reason").fill("x")
    await staff.get_by_role("button", name="Take in").click()
    await expect(staff.get_by_role("alert").get_by_text("cannot be read as a zip")).to_be_visible()

    await take_in(demo, staff, packed(demo, tmp_path, "0.1.0"))
    await expect(staff.get_by_text("{subdomain}.acme.example")).to_be_visible()
    await expect(staff.get_by_text("Read contacts")).to_be_visible()
    await expect(staff.get_by_text("Waits for approval")).to_be_visible()
    first = staff.url
    await approve(staff, "coyote")
    await check(staff)
    await shoot(staff, "package-approved")

    # one tenant sees it and connects an account
    customer = await open_page()
    await portal.sign_in(customer, "owner@coyote.example")
    await customer.goto(f"{demo.origin}/portal/connect")
    await customer.get_by_role("button", name="Connect Roadrunner").click()
    await customer.get_by_label("Roadrunner subdomain").fill("globex")
    url = f"{demo.sandbox}/acme/_control/api/keys"
    made = httpx2.post(url, json={"account": "1001"}, headers={"origin": demo.sandbox}, trust_env=False)
    assert made.status_code == 201, made.text
    await customer.get_by_label("API key").fill(made.json()["key"])
    await customer.get_by_role("button", name="Connect Roadrunner").click()
    await expect(customer.get_by_role("status").get_by_text("Roadrunner is connected.")).to_be_visible()
    connection_id = customer.url.rsplit("/", 1)[1]
    await portal.use_suggested(customer, connection_id, "Contacts")
    await portal.open(customer, connection_id)
    await expect(customer.get_by_text("25", exact=True).first).to_be_visible()
    await shoot(customer, "package-connection")

    # another sees nothing of it
    stranger = await open_page()
    await portal.sign_in(stranger, "owner@mesa.example")
    await stranger.goto(f"{demo.origin}/portal/connect")
    await expect(stranger.get_by_role("button", name="Connect HubSpot")).to_be_visible()
    await expect(stranger.get_by_text("Roadrunner")).to_have_count(0)
    names = [one["name"] for one in demo.api("connectors", tenant="mesa")["connectors"]]
    assert "hubspot" in names
    assert "acme" not in names
    assert "acme" in [one["name"] for one in demo.api("connectors", tenant="coyote")["connectors"]]

    # the next version: compatible, so the connection moves by itself
    await take_in(demo, staff, packed(demo, tmp_path, "0.1.1"))
    await expect(staff.get_by_text("Compatible", exact=True)).to_be_visible()
    await approve(staff, "coyote")
    line = staff.get_by_role("table", name="Versions of Roadrunner").get_by_role(
        "row", name=re.compile("^0.1.1")
    )

    await until(staff, staff.url, line.locator("td:last-child").filter(has_text=re.compile(r"^\s*1\s*$")))
    await shoot(staff, "package-upgraded")

    # an incompatible one stays beside it; staff move the connection there by hand, and back
    await take_in(demo, staff, packed(demo, tmp_path, "0.2.0"))
    await approve(staff, "coyote")
    others = staff.get_by_role("table", name="Connections on other versions")
    await others.get_by_role("link").first.click()
    await expect(staff.get_by_role("heading", name=re.compile("^Version of"))).to_be_visible()
    for there, back in (("0.2.0", "0.1.1"), ("0.1.1", "0.2.0")):
        await check(staff)
        await shoot(staff, f"package-move-{there}")
        await staff.get_by_label("To version").select_option(there)
        await staff.get_by_label("Reason").fill("They asked for it")
        await staff.get_by_role("button", name="Move").click()
        await expect(
            staff.get_by_text(f"It speaks {there} now, and everything is read anew.")
        ).to_be_visible()
        await staff.get_by_role("link", name=re.compile("^Version of")).click()
        await expect(staff.get_by_role("heading", name=f"Roadrunner {back}", exact=True)).to_be_visible()
    await staff.goto(f"{demo.origin}/console/packages")
    await staff.get_by_role("link", name="acme 0.1.1").click()

    # withdrawn and paused, and the withdrawal undone
    form = staff.locator("form[action$='/withdraw']")
    await form.get_by_text("Are paused", exact=True).click()
    await form.get_by_label("Reason").fill("It doubles records")
    await form.get_by_role("button", name="Withdraw").click()
    await expect(staff.get_by_text("nobody can connect it any more")).to_be_visible()
    await shoot(staff, "package-withdrawn")
    await portal.open(customer, connection_id)
    await expect(customer.get_by_text(re.compile("^Paused")).first).to_be_visible()
    form = staff.locator("form[action$='/restore']")
    await form.get_by_label("Reason").fill("Mended")
    await form.get_by_role("button", name="Undo").click()
    await expect(staff.get_by_text("What it paused goes on by itself.")).to_be_visible()

    await staff.goto(f"{demo.origin}/console/api-versions")
    await expect(staff.get_by_role("row", name=re.compile("^HubSpot"))).to_be_visible()
    await check(staff)
    await shoot(staff, "api-versions")
    narrow = await open_page(width=390, theme="dark")
    await enter(demo, narrow)
    await shoot(narrow, "packages-390-dark")
    for name, address in (
        ("package", first),
        ("api-versions", f"{demo.origin}/console/api-versions"),
        ("apps", f"{demo.origin}/console/oauth-clients"),
    ):
        await narrow.goto(address)
        await check(narrow)
        await shoot(narrow, f"{name}-390-dark")
