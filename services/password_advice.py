"""What would make a weak password do, in plain words."""

from typing import TypeAlias

from zxcvbn_rs_py import Feedback, Suggestion
from zxcvbn_rs_py import Warning as Reason

from services.validation import gettext_noop

Finding: TypeAlias = Reason | Suggestion

ADD_WORDS = gettext_noop("Add two unrelated words.")

# What zxcvbn finds, and our sentence for it. A list, since the findings cannot be hashed.
ADVICE: list[tuple[str, tuple[Finding, ...]]] = [
    (
        ADD_WORDS,
        (
            Suggestion.AddAnotherWordOrTwo,
            Suggestion.UseAFewWordsAvoidCommonPhrases,
            Suggestion.NoNeedForSymbolsDigitsOrUppercaseLetters,
        ),
    ),
    (
        gettext_noop("Very many people use it: choose three unrelated words instead."),
        (Reason.ThisIsATop10Password, Reason.ThisIsATop100Password, Reason.ThisIsACommonPassword),
    ),
    (
        gettext_noop("It is too similar to a common password: add two unrelated words."),
        (Reason.ThisIsSimilarToACommonlyUsedPassword,),
    ),
    (
        gettext_noop("It is a single word: add two unrelated ones."),
        (Reason.AWordByItselfIsEasyToGuess,),
    ),
    (
        gettext_noop("Names are easy to guess: add two unrelated words."),
        (Reason.NamesAndSurnamesByThemselvesAreEasyToGuess, Reason.CommonNamesAndSurnamesAreEasyToGuess),
    ),
    (
        gettext_noop("Keys side by side are easy to guess: add two unrelated words."),
        (
            Reason.StraightRowsOfKeysAreEasyToGuess,
            Reason.ShortKeyboardPatternsAreEasyToGuess,
            Suggestion.UseALongerKeyboardPatternWithMoreTurns,
        ),
    ),
    (
        gettext_noop("It repeats itself: add two unrelated words."),
        (
            Reason.RepeatsLikeAaaAreEasyToGuess,
            Reason.RepeatsLikeAbcAbcAreOnlySlightlyHarderToGuess,
            Suggestion.AvoidRepeatedWordsAndCharacters,
        ),
    ),
    (
        gettext_noop("Sequences such as abc or 123 are easy to guess: add two unrelated words."),
        (Reason.SequencesLikeAbcAreEasyToGuess, Suggestion.AvoidSequences),
    ),
    (
        gettext_noop("Years and dates are easy to guess: add two unrelated words."),
        (
            Reason.RecentYearsAreEasyToGuess,
            Reason.DatesAreOftenEasyToGuess,
            Suggestion.AvoidRecentYears,
            Suggestion.AvoidYearsThatAreAssociatedWithYou,
            Suggestion.AvoidDatesAndYearsThatAreAssociatedWithYou,
        ),
    ),
    (
        gettext_noop("Capital letters do not help much: add two unrelated words."),
        (
            Suggestion.CapitalizationDoesntHelpVeryMuch,
            Suggestion.AllUppercaseIsAlmostAsEasyToGuessAsAllLowercase,
        ),
    ),
    (
        gettext_noop("Words written backwards are easy to guess: add two unrelated words."),
        (Suggestion.ReversedWordsArentMuchHarderToGuess,),
    ),
    (
        gettext_noop("Digits and symbols for letters do not help much: add two unrelated words."),
        (Suggestion.PredictableSubstitutionsDontHelpVeryMuch,),
    ),
]


def advice_for(feedback: Feedback | None) -> str:
    """Return one sentence for zxcvbn's feedback.

    Its warning comes first, then its last suggestion: the first one fits every password.
    """
    findings = [feedback.warning, *reversed(feedback.suggestions)] if feedback else []
    return next((sentence_for(finding) for finding in findings if finding is not None), ADD_WORDS)


def sentence_for(finding: Finding) -> str:
    """Return our sentence for a warning or suggestion of zxcvbn."""
    return next((sentence for sentence, findings in ADVICE if finding in findings), ADD_WORDS)
