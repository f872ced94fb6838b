from services.validation import ValidationError


def test_an_error_says_its_sentence_and_then_the_advice() -> None:
    error = ValidationError("password", "At least %(least)s characters.", "Use words.", least=8)
    assert str(error) == "At least 8 characters. Use words."


def test_an_errors_sentences_can_be_translated_one_by_one() -> None:
    error = ValidationError("password", "At least %(least)s characters.", "Use words.", least=8)
    assert error.messages == [("At least %(least)s characters.", {"least": 8}), ("Use words.", {})]


def test_an_error_names_its_field_and_is_answered_with_422() -> None:
    error = ValidationError("username", "Enter a user name.")
    assert (error.field, error.status) == ("username", 422)
