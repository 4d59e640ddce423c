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
