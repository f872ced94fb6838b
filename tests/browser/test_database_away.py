"""templates/_database_away.html: the list as of when the database was last reached."""

from datetime import UTC, datetime

import psycopg
from playwright.async_api import Browser, Page, expect
from quart import Quart

from tests.browser.helpers import wait_until_live, watch
from tests.helpers import serving, terminate_others
from web.request_context import get_services

ZONE = "Asia/Kathmandu"  # 5:45 ahead of UTC, all year round
EVENING = datetime(2020, 2, 3, 22, 30, tzinfo=UTC)  # in a year that is not the present one
NIGHT = datetime(2020, 2, 3, 23, 5, tzinfo=UTC)
NOTICES = {
    "en-US": "Roster cannot reach its database just now. This is the list as of Feb 4, 2020, {} AM.",
    "zh-CN": "Roster 现在连不上数据库。这是 2020年2月4日 {} 时的名单。",
}


async def expect_notices(pages: list[tuple[str, Page]], time: str) -> None:
    """Expect the sentence as it is seen and heard, in each page's language."""
    for locale, page in pages:
        notice = NOTICES[locale].format(time)
        await expect(page.locator("#away")).to_match_aria_snapshot(f'- status: "{notice}"')


async def test_the_time_of_the_list_is_in_the_time_zone_of_the_reader(
    browser: Browser, live_app: Quart, psql: psycopg.Connection, server_url: str
) -> None:
    problems: list[list[str]] = []

    async def open_page(locale: str) -> Page:
        page = await browser.new_page(base_url=url, locale=locale, timezone_id=ZONE)
        problems.append(watch(page))
        await page.goto("/")
        return page

    live_list, name = get_services(live_app).live_list, psql.info.dbname
    async with serving(live_app) as url:
        pages = [(locale, await open_page(locale)) for locale in NOTICES]
        for _, page in pages:
            await wait_until_live(page)
        with psycopg.connect(server_url, autocommit=True) as operator:
            operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            terminate_others(psql)
            for _, page in pages:
                await expect(page.locator("#away")).not_to_be_empty()
            live_list.read_at = EVENING  # the notice says so at the next attempt to reach the database
            await expect_notices(pages, "4:15")
            pages += [(locale, await open_page(locale)) for locale in NOTICES]
            await expect_notices(pages, "4:15")
            live_list.read_at = NIGHT
            await expect_notices(pages, "4:50")
            operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        for _, page in pages:
            await expect(page.locator("#away")).to_be_empty()
            await page.close()
    assert [problem for found in problems for problem in found] == []
