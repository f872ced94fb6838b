import asyncio

import psycopg

from db import Database, pool_timeout
from queries import users
from tests.helpers import add_users, usernames


async def test_a_name_is_inserted_once(database: Database) -> None:
    assert (await users.insert_user(database, "Zoe", "zoe", "hash 1")).account
    assert not (await users.insert_user(database, "ZOE", "zoe", "hash 2")).account
    account = await users.select_account(database, "zoe")
    assert account
    assert (account.username, account.password_hash) == ("Zoe", "hash 1")


async def test_200_inserts_of_one_name_at_once_store_it_once(
    database: Database, psql: psycopg.Connection
) -> None:
    with pool_timeout(100):  # a slow machine may take its time
        inserted = await asyncio.gather(
            *(users.insert_user(database, f"Zoe{n}", "zoe", f"hash {n}") for n in range(200))
        )
    [winner] = [n for n, insertion in enumerate(inserted) if insertion.account]
    assert usernames(psql) == [f"Zoe{winner}"]


async def test_a_repeated_insert_of_the_same_hash_has_succeeded(
    database: Database, psql: psycopg.Connection
) -> None:
    assert (await users.insert_user(database, "Zoe", "zoe", "hash")).account
    add_users(psql, 1)
    assert (await users.insert_user(database, "Zoe", "zoe", "hash")).account
    assert usernames(psql) == ["Zoe", "user1"]


async def test_a_new_name_never_counts_as_taken_while_others_are_deleted(
    database: Database, psql: psycopg.Connection
) -> None:
    def truncate() -> None:
        for _ in range(50):
            psql.execute("TRUNCATE users")

    truncating = asyncio.create_task(asyncio.to_thread(truncate))
    for n in range(50):
        assert (await users.insert_user(database, f"user{n}", f"user{n}", "hash")).account
    await truncating


async def test_many_users_are_inserted_in_one_change_except_existing_ones(
    database: Database, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    names = ["USER1", "Anna", "张三"]
    keys = ["user1", "anna", "张三"]
    assert await users.insert_users(database, names, keys, ["a", "b", "c"]) == 2
    assert usernames(psql) == ["user1", "Anna", "张三"]
    assert psql.execute("SELECT version, size FROM roster").fetchall() == [(2, 3)]
    assert await users.select_existing_keys(database, [*keys, "nobody"]) == set(keys)
    assert await users.select_existing_keys(database, []) == set()


async def test_an_account_is_found_by_its_key(database: Database, psql: psycopg.Connection) -> None:
    add_users(psql, 2)
    account = await users.select_account(database, "user2")
    assert account
    assert account.username == "user2"
    assert await users.select_account(database, "user3") is None


async def test_an_account_does_not_show_its_hash(database: Database, psql: psycopg.Connection) -> None:
    add_users(psql, 1)
    account = await users.select_account(database, "user1")
    assert account
    assert account.password_hash == "no hash"
    assert "no hash" not in repr(account)


async def test_a_hash_is_replaced_unless_it_has_changed(database: Database, psql: psycopg.Connection) -> None:
    add_users(psql, 2)
    account = await users.select_account(database, "user1")
    assert account
    assert await users.update_password_hash(database, account, "hash 2")
    assert not await users.update_password_hash(database, account, "hash 3")
    hashes = psql.execute("SELECT password_hash FROM users ORDER BY id").fetchall()
    assert hashes == [("hash 2",), ("no hash",)]


async def test_a_repeated_update_of_the_hash_has_succeeded(
    database: Database, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    account = await users.select_account(database, "user1")
    assert account
    for _ in range(2):
        assert await users.update_password_hash(database, account, "hash 2")


async def test_a_deletion_can_be_repeated(database: Database, psql: psycopg.Connection) -> None:
    add_users(psql, 2)
    account = await users.select_account(database, "user1")
    assert account
    for _ in range(2):
        await users.delete_user(database, account)
        assert usernames(psql) == ["user2"]
