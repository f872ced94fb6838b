import psycopg

from db import Database
from queries import users
from tests.helpers import add_users, usernames


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
