"""Advice on weak passwords: a sentence of ours for all that zxcvbn finds, and it helps."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from zxcvbn_rs_py import Feedback, Suggestion
from zxcvbn_rs_py import Warning as Reason

from services.password_advice import ADD_WORDS, ADVICE, Finding, advice_for, sentence_for
from services.passwords import validate_password
from services.usernames import Username
from services.validation import ValidationError

ZOE = Username("Zoe", "zoe")


def all_findings() -> list[Finding]:
    """Return what this version of zxcvbn may find, whatever its stubs say."""
    return [
        getattr(kind, name) for kind in (Reason, Suggestion) for name in dir(kind) if not name.startswith("_")
    ]


def feedback(warning: Reason | None, *suggestions: Suggestion) -> Feedback:
    return cast("Feedback", SimpleNamespace(warning=warning, suggestions=list(suggestions)))


def test_every_finding_has_one_sentence_of_ours() -> None:
    listed: list[Any] = [finding for _sentence, findings in ADVICE for finding in findings]
    assert len(listed) == len(all_findings()) == 27
    for finding in all_findings():
        assert listed.count(finding) == 1
        assert sentence_for(finding) in dict(ADVICE)


def test_a_sentence_is_short_and_without_jargon() -> None:
    for sentence, _findings in ADVICE:
        assert len(sentence) <= 80
        assert sentence.endswith(".")
        assert "top" not in sentence.lower().split()


def test_the_warning_comes_before_the_last_suggestion_and_that_before_the_others() -> None:
    common, more, capitals = (
        Reason.ThisIsATop10Password,
        Suggestion.AddAnotherWordOrTwo,
        Suggestion.CapitalizationDoesntHelpVeryMuch,
    )
    assert advice_for(feedback(common, more, capitals)) == sentence_for(common)
    assert advice_for(feedback(None, more, capitals)) == sentence_for(capitals)
    assert advice_for(feedback(None, more)) == advice_for(feedback(None)) == advice_for(None) == ADD_WORDS


@pytest.mark.parametrize(
    ("password", "advice"),
    [
        ("password", "Very many people use it"),
        ("baseball", "Very many people use it"),
        ("p4ssw0rd", "It is too similar to a common password"),
        ("antagonist", "It is a single word"),
        ("weatherford", "Names are easy to guess"),
        ("tgbnhyuj", "Keys side by side"),
        ("zzzzzzzzz", "It repeats itself"),
        ("kolkolkol", "It repeats itself"),
        ("bcdefghij", "Sequences such as"),
        ("13.5.1987", "Years and dates"),
        ("hippopotamus", "Add two unrelated words."),
    ],
)
def test_the_advice_fits_the_password_and_helps(password: str, advice: str) -> None:
    with pytest.raises(ValidationError) as caught:
        validate_password(password, ZOE, 8)
    assert str(caught.value).startswith(f"This password is easy to guess. {advice}")
    assert len(caught.value.messages) == 2
    better = "violet otter lamp" if "instead" in str(caught.value) else f"{password} otter lamp"
    assert validate_password(better, ZOE, 8) == better
