"""Check the prose of the project, or lay it out: `python scripts/prose.py [--fix] [FILE ...]`.

The check keeps two rules. Prose in Markdown has one sentence a line and no line over 120 characters (tables, code and
headings excepted). And no sentence matches a rule of the Vale style in `.vale/`. No package index carries Vale itself,
so a machine that reaches nothing else could not run `make lint` with it. This reads the two kinds of rules that the
style has, `existence` and `substitution`. `make vale` runs Vale.

Docstrings and comments of Python, and comments and COMMENTs of SQL, are checked against the style as well. A sentence
there has a subject too: one that begins with a verb or a participle is found if the word leaves no doubt. Excepted are
the first line of a docstring, which begins with a verb, and COMMENTs, in which the object is the subject.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
STYLE = ROOT / ".vale" / "Pgqueue"
WIDTH = 120
COVERED = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md", "examples/*.md", "pgqueue/**/*.md")
#: Files whose docstrings, comments and COMMENTs keep the rules of the style.
CODE = ("pgqueue/**/*.py", "pgqueue/sql/**/*.sql", "scripts/*.py")
#: Vale's own marks around text that is not checked: what not to write has to be written on the page that says so.
OFF, ON = "<!-- vale off -->", "<!-- vale on -->"
#: `make reference` lays these out from the COMMENTs, the docstrings and the commands.
GENERATED = ("<!-- generated:", "<!-- end -->")

# A sentence ends at its full stop, maybe with closing marks behind it, before a capital, a digit or an opening mark.
_BOUNDARY = re.compile(r"(?<=[.!?])([)\]*_\"'”]*) +(?=[(\[*_\"“]*[A-Z`0-9])")
_ABBREVIATED = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|no|Nr|approx)\.|\.\.\.)$", re.IGNORECASE)
_ITEM = re.compile(r"(?P<indent> *)(?P<mark>[-*+]|\d+\.) +")
_CODE = re.compile(r"`+[^`]*`+")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
# Words that begin no sentence with a subject: a participle before a preposition or an adverb, or a verb alone.
_FRAGMENT = re.compile(
    r"^(?:(?:Asked|Called|Checked|Claimed|Closed|Counted|Dropped|Held|Kept|Locked|Measured|Noted|Opened|Planned|Prepared"
    r"|Read|Registered|Said|Sent|Skipped|Started|Taken|Told|Written) "
    r"(?:after|again|as|at|before|by|for|from|here|in|on|once|only|over|so|to|under|until|when|while|with)\b"
    r"|(?:Costs|Holds|Keeps|Knows|Lets|Means|Says|Stays|Takes|Tells|Waits) )"
)
_SQL_COMMENT = re.compile(r"^\s*--(?: |$)(?!name:|after:|concurrently)(.*)$")
_SQL_TRAILING_COMMENT = re.compile(r"^(?:[^'\"]|'[^']*'|\"[^\"]*\")*?\S\s+-- (.*)$")
_SQL_LITERAL = re.compile(r"^comment on [^;']*? is\s*'((?:[^']|'')*)'\s*;", re.MULTILINE)


@dataclass(frozen=True)
class Rule:
    """One pattern of the style, and what is said where it matches."""

    name: str
    pattern: re.Pattern[str]
    message: str
    replacement: str | None
    of_sentences: bool


@dataclass
class Paragraph:
    """Lines of prose that belong together: a paragraph or an item of a list."""

    first_line: int
    indent: str
    mark: str
    lines: list[str]

    @property
    def text(self) -> str:
        """Return the prose as one line."""
        return " ".join(line.strip() for line in self.lines)


def read_rules(folder: Path = STYLE) -> list[Rule]:
    """Return the rules of a Vale style."""
    rules = []
    for file in sorted(folder.glob("*.yml")):
        described = yaml.safe_load(file.read_text())
        flags = re.IGNORECASE if described.get("ignorecase") else 0
        of_sentences = described.get("scope") == "sentence"
        patterns = described.get("swap") or dict.fromkeys(described.get("tokens", []))
        for pattern, replacement in patterns.items():
            bounded = pattern if described.get("nonword") else rf"\b(?:{pattern})\b"
            rules.append(Rule(file.stem, re.compile(bounded, flags), described["message"], replacement, of_sentences))
    return rules


def sentences(text: str) -> list[str]:
    """Split a paragraph into its sentences; a full stop within code ends none."""
    hidden = _CODE.sub(lambda code: "\0" * len(code[0]), text)
    hidden = re.sub("\0+", lambda run: "`" * len(run[0]), hidden)
    found, start = [], 0
    for boundary in _BOUNDARY.finditer(hidden):
        if not _ABBREVIATED.search(hidden[start : boundary.start()]):
            found.append(text[start : boundary.end()].strip())
            start = boundary.end()
    return [*found, text[start:].strip()]


def blocks(text: str) -> Iterator[Paragraph | str]:
    """Yield the paragraphs of a page, and each other line as it is: code, tables, headings, comments, blank lines."""
    fence, paragraph, generated, after_blank = "", None, False, True
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        is_item = _ITEM.match(line)
        indented_code = after_blank and line.startswith("    ") and not is_item and not (paragraph and paragraph.mark)
        if stripped.startswith(GENERATED[0]):
            generated = True
        is_prose = stripped and not (
            fence
            or generated
            or indented_code
            or stripped.startswith(("```", "~~~", "|", "#", "<", ":::", "!!!", "---"))
        )
        if not fence and stripped.startswith(("```", "~~~")):
            fence = stripped[:3]
        elif fence and stripped.startswith(fence):
            fence = ""
        if stripped.startswith(GENERATED[1]):
            generated = False
        if is_prose and (is_item or paragraph is None):
            if paragraph is not None:
                yield paragraph
            mark = f"{is_item['mark']} " if is_item else ""
            indent = is_item["indent"] if is_item else line[: len(line) - len(line.lstrip())]
            paragraph = Paragraph(number, indent, mark, [line[is_item.end() :] if is_item else line])
        elif is_prose and paragraph is not None:
            paragraph.lines.append(line)
        else:
            if paragraph is not None:
                yield paragraph
                paragraph = None
            yield line
            after_blank = not stripped or (after_blank and line.startswith("    "))
            continue
        after_blank = False
    if paragraph is not None:
        yield paragraph


def fold(sentence: str, width: int) -> list[str]:
    """Break a sentence that is too long at the ends of its clauses, else between words."""
    lines = []
    while len(sentence) > width:
        hidden = _LINK.sub(lambda link: "x" * len(link[0]), _CODE.sub(lambda code: "x" * len(code[0]), sentence))
        cut = -1
        for mark in (r"[;:] ", r", ", r" "):
            ends = [match.end() for match in re.finditer(mark, hidden[: width + 1]) if match.end() > width // 3]
            if ends:
                cut = ends[-1]
                break
        if cut < 0:
            break
        lines.append(sentence[:cut].rstrip())
        sentence = sentence[cut:]
    return [*lines, sentence]


def lay_out(text: str) -> str:
    """Return a page with one sentence a line."""
    lines: list[str] = []
    for block in blocks(text):
        if isinstance(block, str):
            lines.append(block)
            continue
        hanging = block.indent + " " * len(block.mark)
        laid = [part for one in sentences(block.text) for part in fold(one, WIDTH - len(hanging))]
        lines.extend((block.indent + block.mark if not index else hanging) + line for index, line in enumerate(laid))
    return "\n".join(lines) + "\n"


def faults(text: str, rules: list[Rule]) -> Iterator[tuple[int, str]]:
    """Yield the lines that break a rule, and which."""
    line, is_off = 0, False
    for block in blocks(text):
        if isinstance(block, str):
            line += 1
            is_off = block != ON and (is_off or block == OFF)
            if is_off:
                continue
            # Cells of tables are prose too, but of no shape.
            yield from ((line, said) for said in _matches(block, rules, of_sentences=False) if block.startswith("|"))
            continue
        for offset, written in enumerate(block.lines):
            if len(written) > WIDTH and " " in written.strip():
                yield block.first_line + offset, f"the line has {len(written)} characters; at most {WIDTH}"
            if len(sentences(written.strip())) > 1:
                yield block.first_line + offset, "a line has one sentence"
        for sentence in [] if is_off else sentences(block.text):
            yield from ((block.first_line, said) for said in _matches(sentence, rules, of_sentences=True))
        line = block.first_line + len(block.lines) - 1


def faults_of_code(source: str, rules: list[Rule]) -> Iterator[tuple[int, str]]:
    """Yield the docstrings and comments of a module that break a rule of the style, and which."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [
        (node.body[0].lineno, docstring, 1)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, documented) and (docstring := ast.get_docstring(node))
    ]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [(token.start[0], token.string.lstrip("#: ")) for token in tokens if token.type == tokenize.COMMENT]
    yield from _faults_of_texts(texts + [(line, text, 0) for line, text in _joined(comments)], rules)


def faults_of_sql(source: str, rules: list[Rule]) -> Iterator[tuple[int, str]]:
    """Yield the comments and COMMENTs of a file of SQL that break a rule of the style, and which."""
    comments, texts = [], []
    for number, line in enumerate(source.splitlines(), 1):
        if found := _SQL_COMMENT.match(line):
            comments.append((number, found[1]))
        elif found := _SQL_TRAILING_COMMENT.match(line):
            texts.append((number, found[1], 0))
    texts += [(line, text, 0) for line, text in _joined(comments)]
    for literal in _SQL_LITERAL.finditer(source):
        line = source.count("\n", 0, literal.start(1)) + 1
        texts.append((line, literal[1].replace("''", "'"), sys.maxsize))
    yield from _faults_of_texts(texts, rules)


def _joined(comments: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield the comments, those on consecutive lines as one text."""
    lines: list[str] = []
    first = last = 0
    for number, text in comments:
        if lines and number == last + 1:
            lines.append(text)
        else:
            if lines:
                yield first, "\n".join(lines)
            first, lines = number, [text]
        last = number
    if lines:
        yield first, "\n".join(lines)


def _faults_of_texts(texts: list[tuple[int, str, int]], rules: list[Rule]) -> Iterator[tuple[int, str]]:
    """Yield the faults of texts, each with its line and the number of paragraphs that need no subject."""
    for line, text, without_subject in sorted(texts):
        for number, paragraph in enumerate(re.split(r"\n\s*\n", text)):
            for sentence in sentences(" ".join(paragraph.split())):
                yield from ((line, said) for said in _matches(sentence, rules, of_sentences=True))
                if number >= without_subject and (found := _FRAGMENT.match(sentence)):
                    yield line, f"The sentence has no subject: '{found[0]} ...' (Subject)"


def _matches(text: str, rules: list[Rule], *, of_sentences: bool) -> Iterator[str]:
    plain = re.sub(r"(?<!\w)[*_]+|[*_]+(?!\w)", "", _LINK.sub(r"\1", _CODE.sub("`", text)))
    for rule in rules:
        if (of_sentences or not rule.of_sentences) and (found := rule.pattern.search(plain)):
            values = (found[0],) if rule.replacement is None else (rule.replacement, found[0])
            yield f"{rule.message % values} ({rule.name})"


def main() -> int:
    """Check or lay out the files that are named, or all that the project covers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fix", action="store_true", help="put one sentence on each line")
    parser.add_argument("files", nargs="*", type=Path)
    chosen = parser.parse_args()
    covered = [file for pattern in COVERED + CODE for file in sorted(ROOT.glob(pattern))]
    files = chosen.files or covered
    rules = read_rules()
    found = 0
    for file in files:
        text = file.read_text()
        find = {".py": faults_of_code, ".sql": faults_of_sql}.get(file.suffix, faults)
        if chosen.fix and find is faults and (laid := lay_out(text)) != text:
            file.write_text(laid)
            text = laid
        for line, said in find(text, rules):
            found += 1
            sys.stdout.write(f"{file.resolve().relative_to(ROOT)}:{line}: {said}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
