import base64

import psycopg
import pytest

from db import Database
from queries.roster import Roster
from queries.user_list import PAGE_SIZE, UserPage, select_user_page
from tests.helpers import add_users


def encode(position: str) -> str:
    """Return a cursor with that JSON text in it."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def names(*pages: UserPage) -> list[str]:
    return [user.username for page in pages for user in page.users]


async def test_cursors_lead_from_the_newest_page_through_all_pages_and_back(
    database: Database, psql: psycopg.Connection
) -> None:
    add_users(psql, 120)
    first = await select_user_page(database)
    assert (first.roster.version, first.roster.size, first.after, len(first.users)) == (
        1,
        120,
        None,
        PAGE_SIZE,
    )
    second = await select_user_page(database, before=first.before or "")
    third = await select_user_page(database, before=second.before or "")
    assert third.before is None
    assert names(first, second, third) == [f"user{n}" for n in range(120, 0, -1)]
    assert await select_user_page(database, after=third.after or "") == second
    assert names(await select_user_page(database, after=second.after or "")) == names(first)
    assert [page.is_newest for page in (first, second, third)] == [True, False, False]


async def test_a_user_has_an_id_a_name_and_the_time_of_registration(
    database: Database, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    [user] = (await select_user_page(database)).users
    found = psql.execute("SELECT id, username, registered_at FROM users").fetchall()
    assert found == [(user.id, user.username, user.registered_at)]


async def test_exactly_one_full_page_has_no_next_one(database: Database, psql: psycopg.Connection) -> None:
    add_users(psql, PAGE_SIZE)
    for page in (await select_user_page(database), await select_user_page(database, prefix="user")):
        assert (len(page.users), page.before, page.after) == (PAGE_SIZE, None, None)


async def test_the_only_page_of_a_search_is_not_the_newest_one(
    database: Database, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    page = await select_user_page(database, prefix="user")
    assert (names(page), page.is_newest) == (["user1"], False)


async def test_an_empty_list_is_a_page(database: Database) -> None:
    assert await select_user_page(database) == UserPage(Roster(), users=[])


async def test_a_search_finds_by_prefix_in_alphabetical_order_and_pages_both_ways(
    database: Database, psql: psycopg.Connection
) -> None:
    add_users(psql, 120, "ann")
    add_users(psql, 3, "ana")
    add_users(psql, 3, "bob")
    first = await select_user_page(database, prefix="an")
    second = await select_user_page(database, prefix="an", after=first.after or "")
    third = await select_user_page(database, prefix="an", after=second.after or "")
    assert names(first, second, third) == sorted(
        [f"ann{n}" for n in range(1, 121)] + [f"ana{n}" for n in range(1, 4)]
    )
    assert (first.before, third.after, first.roster.size) == (None, None, 126)
    assert await select_user_page(database, prefix="an", before=third.before or "") == second
    assert names(await select_user_page(database, prefix="an", before=second.before or "")) == names(first)
    assert not first.is_newest


@pytest.mark.parametrize("prefix", ["%", "_", "\\", "a%", "'; --", "\ufffd", "\U0010ffff", "x" * 5000])
async def test_a_search_takes_its_text_literally(
    database: Database, psql: psycopg.Connection, prefix: str
) -> None:
    add_users(psql, 3, "a")
    assert (await select_user_page(database, prefix=prefix)).users == []


UNREADABLE = ["x", "aWQ", "MTI!", "\x00", "é", "a" * 5000]
OTHER_KINDS = [encode(text) for text in ("[1]", "null", "true", "1.5", "NaN", "{}", "[" * 9000, "", "+1")]
NO_NUMBERS = [encode(text) for text in ('"user1"', '"12"', "9" * 5000, "1e400", "1.0")] + ["MTI=!"]
NO_BIGINTS = [encode(str(number)) for number in (2**63, -(2**63), 10**30, -(10**30))]
NO_NAMES = [encode(text) for text in ("12", "-12", '"\\u0000"', '"\\ud800"', '"user1\\n"')]
NO_NAMES += [encode('"user1"') + "==!"]


@pytest.mark.parametrize(
    ("prefix", "cursor"),
    [("", cursor) for cursor in UNREADABLE + OTHER_KINDS + NO_NUMBERS + NO_BIGINTS]
    + [("user", cursor) for cursor in UNREADABLE + OTHER_KINDS + NO_NAMES],
)
async def test_a_cursor_that_is_not_one_of_this_order_gives_the_first_page(
    database: Database, psql: psycopg.Connection, prefix: str, cursor: str
) -> None:
    add_users(psql, 120)
    first = await select_user_page(database, prefix=prefix)
    assert await select_user_page(database, prefix=prefix, before=cursor) == first
    assert await select_user_page(database, prefix=prefix, after=cursor) == first


@pytest.mark.parametrize(
    ("prefix", "before", "after"),
    [
        ("", encode("-1"), ""),
        ("", encode(str(1 - 2**63)), ""),
        ("", "", encode(str(2**63 - 1))),
        ("user", encode('"a"'), ""),
        ("user", "", encode('"z"')),
    ],
)
async def test_a_cursor_with_nobody_beyond_it_gives_the_first_page(
    database: Database, psql: psycopg.Connection, prefix: str, before: str, after: str
) -> None:
    add_users(psql, 120)
    first = await select_user_page(database, prefix=prefix)
    assert await select_user_page(database, prefix=prefix, before=before, after=after) == first


async def test_a_page_whose_users_are_gone_gives_the_first_page(
    database: Database, psql: psycopg.Connection
) -> None:
    add_users(psql, 60)
    cursor = (await select_user_page(database)).before or ""
    psql.execute("DELETE FROM users WHERE id <= (SELECT min(id) + 9 FROM users)")
    assert (await select_user_page(database, before=cursor)).is_newest
    psql.execute("TRUNCATE users")
    assert (await select_user_page(database, before=cursor)).users == []


async def test_a_previous_page_that_is_not_full_any_more_gives_the_first_page(
    database: Database, psql: psycopg.Connection
) -> None:
    add_users(psql, 60)
    second = await select_user_page(database, before=(await select_user_page(database)).before or "")
    psql.execute("DELETE FROM users WHERE username = 'user60'")
    page = await select_user_page(database, after=second.after or "")
    assert (page.is_newest, len(page.users)) == (True, PAGE_SIZE)
