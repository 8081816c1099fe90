"""One's own account in a browser: an authenticator app, signing in with it, sessions, the password."""

import re

import pyotp
from playwright.async_api import expect


async def test_own_account(demo, organisation, portal, open_page, check, shoot) -> None:
    await organisation("account", "Account")
    email, fresh = "owner@account.example", "four quite other words"
    page = await open_page(allow=("400",))
    await portal.sign_in(page, email)
    await page.locator("aside details.account summary").click()
    await page.locator("aside").get_by_role("link", name="Your account").click()
    await expect(page.get_by_role("heading", name="Your account", level=1)).to_be_visible()
    await check(page)
    await shoot(page, "account")

    # an authenticator app, with the password and its first code
    await page.get_by_role("link", name="Add", exact=True).click()
    await page.get_by_label("Your password").fill(demo.member_password)
    await check(page)
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("img", name="QR code")).to_be_visible()
    await check(page)
    await shoot(page, "account-setup")
    secret = (await page.locator("#totp-key").inner_text()).replace(" ", "")
    clock = pyotp.TOTP(secret)
    await page.get_by_label("Code from the app").fill(clock.now())
    await page.get_by_role("button", name="Use this app").click()
    await expect(page.get_by_role("heading", name="Ten codes")).to_be_visible()
    await check(page)
    codes = re.findall(r"[a-z2-7-]{19}", await page.locator("#recovery-codes").inner_text())
    assert len(codes) == 10
    await page.get_by_role("link", name="I have kept them").click()
    await expect(page.get_by_text("10 of 10 recovery codes are left")).to_be_visible()

    # elsewhere, the password alone does not do; on a telephone
    second = await open_page(width=390, allow=("401",))
    await second.goto(f"{demo.origin}/login")
    await second.get_by_label("E-mail address").fill(email)
    await second.get_by_label("Password").fill(demo.member_password)
    await second.get_by_role("button", name="Sign in").click()
    await expect(second.get_by_role("heading", name="Type your code")).to_be_visible()
    await check(second)
    await second.get_by_label("Code").fill("000000")
    await second.get_by_role("button", name="Sign in").click()
    await expect(second.get_by_role("alert")).to_contain_text("does not match")
    await check(second)
    await second.get_by_label("Code").fill(codes[0])
    await second.get_by_role("button", name="Sign in").click()
    await expect(second).to_have_url(f"{demo.origin}/portal")
    await second.goto(f"{demo.origin}/account")
    await expect(second.get_by_text("9 of 10 recovery codes are left")).to_be_visible()
    await check(second)
    await shoot(second, "account-390")

    # the first browser sees the second one and ends it
    await page.reload()
    await page.get_by_role("button", name="Sign out everywhere else").click()
    await expect(page.get_by_role("status").get_by_text("1 other session is signed out.")).to_be_visible()
    await second.reload()
    await expect(second.get_by_role("heading", name="Sign in")).to_be_visible()

    # and changes the password: first wrongly, then rightly
    for current, again in ((demo.member_password, "not the same"), (demo.member_password, fresh)):
        await page.get_by_label("Current password").fill(current)
        await page.get_by_label("New password", exact=True).fill(fresh)
        await page.get_by_label("New password again").fill(again)
        await page.get_by_role("button", name="Change password").click()
        if again != fresh:
            await expect(page.get_by_role("alert")).to_contain_text("differ")
            await check(page)
    await expect(page.get_by_role("status").get_by_text("Your password is changed")).to_be_visible()
