import asyncio

import psycopg
import pytest

from db import Database, pool_timeout
from queries import users
from queries.registration import NewUser, insert_user
from queries.roster import Roster, StaleFormError, select_roster, update_roster
from services.registration_rules import new_invitation
from tests.helpers import add_users, usernames, wait_until, waits_for_lock


async def insert(database: Database, name: str, invitation: str = "") -> bool:
    return bool((await insert_user(database, NewUser(name, name, f"hash of {name}", invitation))).account)


async def test_the_choices_are_stored_and_returned(database: Database) -> None:
    assert await select_roster(database) == Roster()
    code = new_invitation()
    choices = {"title": "T", "description": "D", "open": False, "capacity": 30, "invitation": code}
    roster = await update_roster(database, choices)
    assert (
        roster
        == await select_roster(database)
        == Roster(1, 0, "T", "D", open=False, capacity=30, invitation=code)
    )
    assert code not in repr(roster)
    assert await update_roster(database, choices) == roster


async def test_a_form_that_shows_something_older_changes_nothing(database: Database) -> None:
    etag = (await select_roster(database)).etag("title", "description")
    await update_roster(database, {"capacity": 3})
    await update_roster(database, {"title": "A", "description": ""}, etag)
    with pytest.raises(StaleFormError) as raised:
        await update_roster(database, {"title": "B", "description": ""}, etag)
    present = await select_roster(database)
    assert present == raised.value.roster
    assert present.title == "A"
    # The same once more is no conflict: after a broken connection it may be our own.
    assert await update_roster(database, {"title": "A", "description": ""}, etag) == present


async def test_of_changes_at_once_from_one_state_only_one_is_made(database: Database) -> None:
    etag = (await select_roster(database)).etag("title")
    results = await asyncio.gather(
        *(update_roster(database, {"title": f"title {n}"}, etag) for n in range(20)), return_exceptions=True
    )
    [made] = [result for result in results if isinstance(result, Roster)]
    assert (await select_roster(database)).title == made.title
    assert sum(isinstance(result, StaleFormError) for result in results) == 19


def test_a_change_by_psql_is_a_change_of_the_list(database_url: str, psql: psycopg.Connection) -> None:
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute("LISTEN roster")
        psql.execute("UPDATE roster SET open = false")
        psql.execute("UPDATE roster SET open = false")  # changes nothing
        psql.execute("UPDATE roster SET title = 'T', capacity = 3")
        psql.execute("INSERT INTO organisers VALUES (sha256('x'), now() + interval '1 day')")
        psql.execute("DELETE FROM organisers")
        payloads = [notification.payload for notification in listener.notifies(timeout=30, stop_after=4)]
    assert payloads == ["1", "2", "3", "4"]


@pytest.mark.parametrize("time", range(10))
async def test_200_at_once_for_30_places_are_30(
    database: Database, psql: psycopg.Connection, time: int
) -> None:
    psql.execute("UPDATE roster SET capacity = 30")
    with pool_timeout(100):  # a slow machine may take its time
        inserted = await asyncio.gather(*(insert(database, f"user{time}n{n}") for n in range(200)))
    assert sum(inserted) == len(usernames(psql)) == 30


async def test_whoever_waits_while_registration_closes_is_refused(
    database: Database, psql: psycopg.Connection
) -> None:
    with psql.transaction():
        psql.execute("UPDATE roster SET open = false")
        inserting = asyncio.create_task(insert_user(database, NewUser("zoe", "zoe", "hash")))
        await wait_until(lambda: waits_for_lock(psql))
    insertion = await inserting
    assert insertion.account is None
    assert not insertion.roster.open
    assert usernames(psql) == []


async def test_an_invitation_is_needed_while_there_is_one(database: Database) -> None:
    old, new = new_invitation(), new_invitation()
    await update_roster(database, {"invitation": old})
    assert await insert(database, "a", old)
    assert not await insert(database, "b")
    assert not await insert(database, "b", new)
    await update_roster(database, {"invitation": new})
    assert not await insert(database, "b", old)
    assert await insert(database, "b", new)
    await update_roster(database, {"invitation": None})
    assert await insert(database, "c")


async def test_psql_and_imports_are_not_bound(database: Database, psql: psycopg.Connection) -> None:
    await update_roster(database, {"open": False, "capacity": 1, "invitation": new_invitation()})
    add_users(psql, 2)
    assert await users.insert_users(database, ["anna"], ["anna"], ["hash"]) == 1
    assert usernames(psql) == ["user1", "user2", "anna"]


async def test_a_repeated_insert_of_the_last_place_has_succeeded(database: Database) -> None:
    await update_roster(database, {"capacity": 1})
    for _ in range(2):
        assert await insert(database, "zoe")
    assert not await insert(database, "anna")


async def test_removing_and_registering_one_name_do_not_wait_for_each_other(database: Database) -> None:
    """Both lock the roster's row first; in another order PostgreSQL would have to break a deadlock."""
    for n in range(30):
        account = (await insert_user(database, NewUser("zoe", "zoe", f"hash {n}"))).account
        assert account
        _, insertion = await asyncio.gather(
            users.delete_user(database, account), insert_user(database, NewUser("zoe", "zoe", f"again {n}"))
        )
        await users.delete_users(database, [insertion.account.id] if insertion.account else [])


async def test_a_removed_person_leaves_a_place(database: Database) -> None:
    await update_roster(database, {"capacity": 1})
    account = (await insert_user(database, NewUser("zoe", "zoe", "hash"))).account
    assert account
    assert not await insert(database, "anna")
    assert await users.delete_users(database, [account.id, account.id + 1]) == ["zoe"]
    assert await users.delete_users(database, [account.id]) == []
    assert await insert(database, "anna")
