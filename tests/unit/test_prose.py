"""The check of the prose: sentences, lines, and the rules of the style."""

import pytest

from scripts import prose

RULES = prose.read_rules()


def said(text: str) -> list[str]:
    return [message for _line, message in prose.faults(text, RULES)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two.", ["One.", "Two."]),
        ("A job (see `a. B`) runs. It ends.", ["A job (see `a. B`) runs.", "It ends."]),
        ("Use e.g. This one.", ["Use e.g. This one."]),
        ("It takes 0.5 s. 3 are left.", ["It takes 0.5 s.", "3 are left."]),
        ("**First.** Then another.", ["**First.**", "Then another."]),
        ("Is it so? Yes!", ["Is it so?", "Yes!"]),
    ],
)
def test_a_paragraph_is_split_into_its_sentences(text: str, sentences: list[str]) -> None:
    assert prose.sentences(text) == sentences


def test_a_page_is_laid_out_with_one_sentence_a_line_and_code_as_it_is() -> None:
    page = "# Title. Of it\n\nOne. Two\nends here.\n\n- An item. Its second.\n\n```sql\nselect 1. -- A. B.\n```\n\n| a. B | c. D |\n"

    laid = prose.lay_out(page)

    assert laid == (
        "# Title. Of it\n\nOne.\nTwo ends here.\n\n- An item.\n  Its second.\n\n```sql\nselect 1. -- A. B.\n```\n\n| a. B | c. D |\n"
    )
    assert prose.lay_out(laid) == laid


def test_a_sentence_that_is_too_long_is_broken_where_a_clause_ends() -> None:
    first, second = "word " * 15 + "end", "more " * 15 + "end."

    assert prose.lay_out(f"{first}; {second}\n") == f"{first};\n{second}\n"


def test_a_line_that_is_too_long_or_has_two_sentences_is_found() -> None:
    assert said("word " * 30 + "\n") == ["the line has 150 characters; at most 120"]
    assert said("One. Two.\n") == ["a line has one sentence"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("It polls after a fiftieth of a second.", "Units"),
        ("The lookout polls.", "Terms"),
        ("A program hands in jobs.", "Terms"),
        ("It is refused at the door.", "Metaphors"),
        ("Who stores a result notifies.", "Subject"),
        ("| a cell of a table | a tenth of a second |", "Units"),
    ],
)
def test_what_the_style_forbids_is_found(text: str, rule: str) -> None:
    assert [message.rsplit("(")[-1] for message in said(f"{text}\n")] == [f"{rule})"]


def test_questions_code_links_and_what_is_marked_are_no_faults() -> None:
    assert said("What is a job?\n\n`lookout` and [a page](lookout.md) are names.\n") == []
    assert said("<!-- vale off -->\n\nThe lookout polls.\n\n<!-- vale on -->\n") == []


def test_docstrings_and_comments_of_python_are_checked_too() -> None:
    module = '"""The lookout."""\n\n# It polls after half a second.\nlookout = 1\n'

    assert [line for line, _said in prose.faults_of_code(module, RULES)] == [1, 3]


def faults_of_sql(source: str) -> list[tuple[int, str]]:
    return [(line, message.rsplit("(")[-1]) for line, message in prose.faults_of_sql(source, RULES)]


def test_comments_and_comments_on_objects_of_sql_are_checked_too() -> None:
    source = (
        "-- after: locks\n-- What nobody\n-- has begun.\nselect 1; -- The lookout.\n"
        "comment on view a.b is\n  'It waits half a second';\n"
    )

    assert faults_of_sql(source) == [(2, "Subject)"), (4, "Terms)"), (6, "Units)")]


def test_strings_and_names_of_sql_are_no_prose() -> None:
    source = "-- name: lookout\nselect 'the -- lookout', lookout from a.b;\n"

    assert faults_of_sql(source) == []


@pytest.mark.parametrize(
    "sentence", ["Planned once in a session.", "Costs a statement.", "Locked: called by no one. Asked for it."]
)
def test_a_comment_that_begins_with_a_verb_has_no_subject(sentence: str) -> None:
    assert [said for _line, said in faults_of_sql(f"-- {sentence}\n")] == ["Subject)"]


@pytest.mark.parametrize(
    "sentence", ["Given messages are kept.", "Read messages stay.", "Planned maintenance waits.", "Locks are kept."]
)
def test_a_participle_before_a_noun_is_no_fault(sentence: str) -> None:
    assert faults_of_sql(f"-- {sentence}\n") == []


def test_the_first_line_of_a_docstring_and_a_comment_on_an_object_need_no_subject() -> None:
    module = '"""Waits for it.\n\nWaits for it.\n"""\n'

    assert [line for line, _said in prose.faults_of_code(module, RULES)] == [1]
    assert faults_of_sql("comment on function a.b() is 'Waits for it';\n") == []
