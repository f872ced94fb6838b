import asyncio
import gzip
import os
import re
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import argon2
import pytest
from quart import Quart

from services import passwords
from services.passwords import (
    EXTRA_COMMON_PASSWORDS,
    NICENESS,
    BusyError,
    PasswordHasher,
    normalize_password,
    validate_password,
)
from services.usernames import Username
from services.validation import ValidationError
from tests.helpers import OTHER_PASSWORD, PASSWORD, http_client, text_of

NormalForm = Literal["NFC", "NFD"]

ZOE = Username("Zoe", "zoe")
OLD_HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
TODAYS_PARAMETERS = "$argon2id$v=19$m=19456,t=2,p=1$"


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    hasher = PasswordHasher(8)
    yield hasher
    hasher.close()


def record_calls(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[tuple[Any, ...]]:
    """Return a list to which every call of the function will add its positional arguments."""
    function: Callable[..., Any] = getattr(owner, name)
    calls = []

    def record(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (those of any function)
        calls.append(args)
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, record)
    return calls


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "Enter"),
        ("sh0rt!x", "longer"),
        ("x" * 257, "shorter"),
        ("violet\x00otter-lamp", "invisible"),
        ("violet\ud800otter-lamp", "invisible"),
        ("violet\ufffdotter-lamp", "did not arrive"),
        ("password", "easy to guess. "),
        ("aaaaaaaaaaaaaaaa", "easy to guess. It repeats itself"),
        ("zoezoezoe", "easy to guess"),
    ],
)
def test_a_bad_password_is_refused_with_advice(text: str, word: str) -> None:
    with pytest.raises(ValidationError, match=word) as caught:
        validate_password(text, ZOE, 8)
    assert caught.value.field == "password"
    assert "violet" not in str(caught.value)


@pytest.mark.parametrize("username", [Username("Quetzalcoatl", "-"), Username("-", "quetzalcoatl")])
def test_the_user_name_makes_a_weak_password(username: Username) -> None:
    with pytest.raises(ValidationError):
        validate_password("quetzalcoatl7", username, 8)


@pytest.mark.parametrize(
    "text",
    ["violet otter lamp", "пароль-выдра-лампа", "紫水獭台灯三十九号", "v" + "io-7let" * 36, "😀🦦💡 otter"],
)
def test_any_characters_and_256_of_them_are_allowed(text: str) -> None:
    assert validate_password(text, ZOE, 8) == unicodedata.normalize("NFC", text)


def test_256_characters_are_allowed_and_the_last_one_counts() -> None:
    password = "v" + "io-7let" * 36 + "abc"
    assert len(password) == 256
    assert normalize_password(password) == password


async def test_256_characters_are_allowed_and_verified_when_they_arrive_decomposed(
    hasher: PasswordHasher,
) -> None:
    password = "víolet-ötter-lämp" + "각" * 239
    decomposed = unicodedata.normalize("NFD", password)
    hashed = await hasher.hash_validated(decomposed, ZOE)
    assert await hasher.verify(password, hashed)
    assert await hasher.verify(decomposed, hashed)


def test_an_endless_password_is_refused_before_it_is_normalized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_opaque_string", None)
    with pytest.raises(ValidationError, match="shorter"):
        normalize_password("e\u0301" * 513)


async def test_an_endless_password_is_wrong_without_being_normalized(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = await hasher.hash(PASSWORD)
    monkeypatch.setattr(passwords, "_opaque_string", None)
    assert not await hasher.verify("e\u0301" * 513, hashed)


def test_the_least_length_is_counted_in_code_points() -> None:
    with pytest.raises(ValidationError, match="at least 15"):
        validate_password("🦦💡🦦💡-otter-l", ZOE, 15)
    assert validate_password("🦦💡🦦💡-otter-la", ZOE, 12)


def test_a_password_of_just_the_least_length_is_allowed() -> None:
    assert validate_password("xk7!qZ2mV", ZOE, 9) == "xk7!qZ2mV"


def test_spaces_of_any_width_are_one() -> None:
    assert normalize_password("violet\u3000otter\u00a0lamp") == "violet otter lamp"


def test_the_3000_most_common_passwords_are_refused() -> None:
    """OWASP ASVS 5, 6.2.4.

    They are the first 3,000 of Django 5.2's django/contrib/auth/common-passwords.txt.gz, by Royce
    Williams (BSD 3-Clause, see services/common_passwords.txt).
    """
    common = gzip.decompress(Path(__file__).with_name("common_passwords.txt.gz").read_bytes())
    assert len(set(common.decode().splitlines())) == 3000
    allowed = []
    for password in common.decode().splitlines():
        with suppress(ValidationError):
            allowed.append(validate_password(password, ZOE, 8))
    assert allowed == []


@pytest.mark.parametrize("password", ["yuantuo2012", "Yuantuo2012!", "pe#5gz29ptzmse", "friend of emily"])
def test_common_passwords_that_zxcvbn_does_not_know_are_refused_too(password: str) -> None:
    with pytest.raises(ValidationError, match="easy to guess"):
        validate_password(password, ZOE, 8)


def test_every_common_password_of_our_list_is_a_password() -> None:
    assert len(set(EXTRA_COMMON_PASSWORDS)) == len(EXTRA_COMMON_PASSWORDS) == 323
    assert all(len(password) >= 8 for password in EXTRA_COMMON_PASSWORDS)


@pytest.mark.parametrize("score", range(5))
def test_a_password_needs_a_score_of_3(monkeypatch: pytest.MonkeyPatch, score: int) -> None:
    scored = SimpleNamespace(score=score, feedback=None)
    monkeypatch.setattr(passwords, "zxcvbn", lambda *_args: scored)
    if score < 3:
        with pytest.raises(ValidationError, match="easy to guess"):
            validate_password(PASSWORD, ZOE, 8)
    else:
        assert validate_password(PASSWORD, ZOE, 8) == PASSWORD


@pytest.mark.parametrize("filler", ["a", "0123456789", "qwertyuiop", "password"])
@pytest.mark.parametrize("length", [16, 32, 34])
def test_a_strong_part_makes_a_password_strong_wherever_it_stands(filler: str, length: int) -> None:
    weak = (filler * length)[:length]
    with pytest.raises(ValidationError, match="easy to guess"):
        validate_password(weak, ZOE, 8)
    for start in (0, length // 2, length):
        password = f"{weak[:start]}violet otter lamp{weak[start:]}"
        assert validate_password(password, ZOE, 8) == password


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("telecommunications", 50),
        ("4567890123" * 25, 50),
        ("aeio13457" * 28, 50),
        ("4@" * 128, 50),
        ("({[<" * 64, 50),
        ("69@4" * 64, 50),
        ("1!|7+" * 52, 37),
        ("1!|({[<" * 36, 32),
        ("4@({[<691!|$5+7" * 17, 12),
    ],
)
def test_the_more_ways_to_read_a_password_the_less_of_it_is_scored(
    monkeypatch: pytest.MonkeyPatch, text: str, length: int
) -> None:
    scored = record_calls(monkeypatch, passwords, "zxcvbn")
    with suppress(ValidationError):
        validate_password(text[:256], ZOE, 8)
    [(beginning, user_inputs)] = scored
    assert (beginning, user_inputs[:2]) == (text[:length], ["Zoe", "zoe"])


@pytest.mark.parametrize("text", ["short", "x" * 257, "violet\x00otter-lamp"])
def test_a_password_of_a_bad_length_is_not_scored(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    scored = record_calls(monkeypatch, passwords, "zxcvbn")
    with pytest.raises(ValidationError):
        validate_password(text, ZOE, 8)
    assert scored == []


async def test_a_new_password_is_checked_and_hashed_with_argon2id(hasher: PasswordHasher) -> None:
    hashed = await hasher.hash_validated(PASSWORD, ZOE)
    assert hashed.startswith(TODAYS_PARAMETERS)
    assert await hasher.verify(PASSWORD, hashed)
    assert not await hasher.verify(OTHER_PASSWORD, hashed)
    assert hashed != await hasher.hash_validated(PASSWORD, ZOE)
    with pytest.raises(ValidationError, match="easy to guess"):
        await hasher.hash_validated("zoezoezoe", ZOE)


async def test_a_new_password_is_validated_as_when_it_is_hashed(hasher: PasswordHasher) -> None:
    await hasher.validate(PASSWORD, ZOE)
    for password, username in (("zoezoezoe", ZOE), ("password", None), ("short", None)):
        with pytest.raises(ValidationError):
            await hasher.validate(password, username)
    await hasher.validate("quetzalcoatl7x", None)
    with pytest.raises(ValidationError):
        await hasher.validate("quetzalcoatl7x", Username("quetzalcoatl7x", "quetzalcoatl7x"))
    hasher.QUEUE_LENGTH = 0
    with pytest.raises(BusyError):
        await hasher.validate(PASSWORD, ZOE)


async def test_a_new_password_has_the_least_length_of_the_settings() -> None:
    hasher = PasswordHasher(21)
    for validate in (hasher.hash_validated, hasher.validate):
        with pytest.raises(ValidationError, match="at least 21"):
            await validate(PASSWORD, ZOE)
    hasher.close()


async def test_a_weak_password_that_is_in_use_is_hashed_too(hasher: PasswordHasher) -> None:
    hashed = await hasher.hash("demo")
    assert hashed.startswith(TODAYS_PARAMETERS)
    assert await hasher.verify("demo", hashed)


@pytest.mark.parametrize("hash_with", ["hash", "hash_validated"])
@pytest.mark.parametrize(("first", "second"), [("NFC", "NFD"), ("NFD", "NFC")])
async def test_a_password_is_the_same_in_every_normal_form(
    hasher: PasswordHasher, hash_with: str, first: NormalForm, second: NormalForm
) -> None:
    password = unicodedata.normalize(first, "víolet-ötter-lämp")
    if hash_with == "hash":
        hashed = await hasher.hash(password)
    else:
        hashed = await hasher.hash_validated(password, ZOE)
    assert await hasher.verify(unicodedata.normalize(second, password), hashed)


@pytest.mark.parametrize(
    "password", ["", "violet\x00otter", "violet\ud800otter", "x" * 5000, "\ud800" * 300, PASSWORD + " "]
)
@pytest.mark.parametrize("has_hash", [True, False])
async def test_a_password_that_was_never_allowed_is_just_wrong(
    hasher: PasswordHasher, password: str, *, has_hash: bool
) -> None:
    assert not await hasher.verify(password, await hasher.hash(PASSWORD) if has_hash else None)


@pytest.mark.parametrize(
    "stored", [None, "", "demo", "dämo", "$argon2id$dämo", "$2b$12$abcdefghijklmnopqrstuv"]
)
async def test_without_a_usable_hash_a_dummy_hash_is_verified(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch, stored: str | None
) -> None:
    verified = record_calls(monkeypatch, argon2.PasswordHasher, "verify")
    assert not await hasher.verify(PASSWORD, stored)
    _hasher, password_hash, password = verified[-1]
    assert password_hash.startswith(TODAYS_PARAMETERS)
    assert password == PASSWORD


async def test_nobody_has_the_password_of_the_dummy_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    password_hash = argon2.PasswordHasher().hash(PASSWORD)
    monkeypatch.setattr("services.passwords._new_dummy_hash", lambda _hasher: password_hash)
    hasher = PasswordHasher(8)
    assert not await hasher.verify(PASSWORD, None)
    hasher.close()


async def test_the_dummy_hash_costs_what_others_cost(hasher: PasswordHasher) -> None:
    assert not hasher.needs_rehash(hasher._dummy_hash)  # noqa: SLF001


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
async def test_threads_that_hash_have_a_lower_priority(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, of_threads = os.getpriority(os.PRIO_PROCESS, 0), set()

    def record(*_args: object) -> bool:
        of_threads.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return True

    monkeypatch.setattr(argon2.PasswordHasher, "verify", record)
    await hasher.verify(PASSWORD, "x")
    assert of_threads == {min(own + NICENESS, 19)}
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


async def test_a_damaged_hash_is_nobodys(hasher: PasswordHasher) -> None:
    assert not await hasher.verify(PASSWORD, TODAYS_PARAMETERS + "damaged")


async def test_only_a_hash_of_other_parameters_needs_a_new_one(hasher: PasswordHasher) -> None:
    assert hasher.needs_rehash(OLD_HASHER.hash(PASSWORD))
    assert not hasher.needs_rehash(await hasher.hash(PASSWORD))


async def test_passwords_are_scored_hashed_and_verified_off_the_event_loop(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    for owner, name in (
        (passwords, "zxcvbn"),
        (argon2.PasswordHasher, "hash"),
        (argon2.PasswordHasher, "verify"),
    ):
        function: Callable[..., Any] = getattr(owner, name)

        def record(*args: Any, function: Callable[..., Any] = function, **kwargs: Any) -> Any:  # noqa: ANN401
            threads.append(threading.get_ident())
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, record)
    hashed = await hasher.hash_validated(PASSWORD, ZOE)
    await hasher.validate(PASSWORD, ZOE)
    await hasher.hash(PASSWORD)
    await hasher.verify(PASSWORD, hashed)
    await hasher.verify(PASSWORD, None)
    assert len(threads) == 6
    assert threading.get_ident() not in threads


async def test_as_many_passwords_as_there_are_cores_are_hashed_at_once(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores = os.cpu_count() or 1
    all_at_once = threading.Barrier(cores)
    monkeypatch.setattr(argon2.PasswordHasher, "hash", lambda *_args: all_at_once.wait(30))
    await asyncio.gather(*(hasher.hash(PASSWORD) for _ in range(cores)))


async def test_a_full_queue_refuses_at_once_and_recovers(hasher: PasswordHasher) -> None:
    hasher.QUEUE_LENGTH = 2
    waiting = [asyncio.ensure_future(hasher.hash_validated(PASSWORD, ZOE)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await hasher.hash_validated(PASSWORD, ZOE)
    await asyncio.gather(*waiting)
    assert await hasher.hash_validated(PASSWORD, ZOE)


async def test_256_passwords_may_wait(hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(argon2.PasswordHasher, "hash", lambda *_args: "a hash")
    hashed = await asyncio.gather(*(hasher.hash(PASSWORD) for _ in range(257)), return_exceptions=True)
    assert hashed[:256] == ["a hash"] * 256
    assert isinstance(hashed[256], BusyError)


async def test_a_refused_password_frees_its_place_in_the_queue(hasher: PasswordHasher) -> None:
    hasher.QUEUE_LENGTH = 1
    with pytest.raises(ValidationError):
        await hasher.hash_validated("password", ZOE)
    assert await hasher.hash_validated(PASSWORD, ZOE)


async def test_a_password_that_waited_too_long_is_refused_and_not_hashed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hasher = PasswordHasher(8, queue_seconds=-1)  # over before it begins
    used = [record_calls(monkeypatch, argon2.PasswordHasher, name) for name in ("hash", "verify")]
    for work in (
        hasher.hash_validated(PASSWORD, ZOE),
        hasher.hash(PASSWORD),
        hasher.verify(PASSWORD, None),
    ):
        with pytest.raises(BusyError):
            await work
    assert used == [[], []]
    hasher.close()


async def test_closing_refuses_the_passwords_that_still_wait(hasher: PasswordHasher) -> None:
    waiting = [asyncio.ensure_future(hasher.hash(PASSWORD)) for _ in range(20 * (os.cpu_count() or 1))]
    await asyncio.sleep(0)
    hasher.close()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(result) for result in results} == {str, BusyError}
    with pytest.raises(BusyError):
        await hasher.hash(PASSWORD)


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_the_example_in_the_hint_is_refused(app: Quart, language: str) -> None:
    page = await http_client(app).get("/", params={"lang": language})
    hint = text_of(page, "#password-check")
    example = " ".join(re.findall("[a-z]+", hint.rpartition("：" if language == "zh" else ":")[2]))
    assert len(example) > 20
    for password in (example, example.upper(), example.replace(" ", "-"), example.replace(" ", "") + "1!"):
        with pytest.raises(ValidationError, match="This is the example"):
            validate_password(password, None, 8)
