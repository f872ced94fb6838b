"""The catalogue of translations: complete, and each translation fits its message."""

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

from tools import messages
from tools.messages import CATALOGUE, collect

OFFLINE = "There is no connection to Roster. Please try again."


def read_catalogue(path: Path = CATALOGUE) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale="zh")


def translations(catalogue: Catalog) -> dict[tuple[str, ...], list[str]]:
    return {tuple(forms(message.id)): forms(message.string) for message in messages_of(catalogue)}


def forms(text: object) -> list[str]:
    """Return a message, or the singular and plural of it, as a list."""
    return [text] if isinstance(text, str) else list(text) if isinstance(text, list | tuple) else []


def messages_of(catalogue: Catalog) -> list[Message]:
    return [message for message in catalogue if message.id]


def test_the_catalogue_has_every_message_of_the_program_and_no_other() -> None:
    collected = {tuple(forms(message.id)) for message in messages_of(collect())}
    assert len(collected) > 90
    assert (OFFLINE,) in collected
    assert {tuple(forms(message.id)) for message in messages_of(read_catalogue())} == collected


@pytest.mark.parametrize(
    "message", messages_of(read_catalogue()), ids=lambda message: forms(message.id)[0][:40]
)
def test_a_translation_has_the_same_values_and_tags(message: Message) -> None:
    assert not message.fuzzy
    english, chinese = forms(message.id), forms(message.string)
    assert len(chinese) == 1  # Chinese has one form for every number
    assert re.search("[\u4e00-\u9fff]", chinese[0])
    for pattern in (r"%\(\w+\)s", "</?[a-z]+>", "%(?!\\()"):
        assert sorted(re.findall(pattern, chinese[0])) == sorted(re.findall(pattern, english[-1]))
    assert chinese[0] == chinese[0].strip()
    assert bool(re.search("[.…]$", english[-1])) is bool(re.search("[。…]$", chinese[0]))


def test_an_update_of_a_complete_catalogue_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "zh.po"
    copy.write_bytes(CATALOGUE.read_bytes())
    monkeypatch.setattr(messages, "CATALOGUE", copy)
    messages.main()
    assert translations(read_catalogue(copy)) == translations(read_catalogue())


def test_an_update_adds_new_messages_and_removes_old_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "zh.po"
    copy.write_text('msgid "Show"\nmsgstr "显示"\n\nmsgid "An old message."\nmsgstr "旧"\n')
    monkeypatch.setattr(messages, "CATALOGUE", copy)
    messages.main()
    updated = translations(read_catalogue(copy))
    assert updated["Show",] == ["显示"]
    assert updated[OFFLINE,] == [""]
    assert "An old message." not in copy.read_text()
