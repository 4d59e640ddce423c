"""Every command and example in the README and the docs runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

import pgqueue
import pgqueue.aio
from tests.harness import Database, Worker, eventually, reference
from tests.harness.running_up import BIN, place_for_up, running_up
from tests.sql.test_public_names import ADMIN_FUNCTIONS, OWNER_FUNCTIONS, USER_FUNCTIONS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
# Within an item of a list a block is indented.
_FENCE = re.compile(r"^( *)```(sh|sql|python)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
#: Written by `make reference`: signatures, which are no statements.
_GENERATED = re.compile(r"<!-- generated: .*?<!-- end -->", re.DOTALL)
#: What a reader saves under the name in its first line.
_FILE = re.compile(r"# (?P<name>\w+\.py)\n")
#: What a reader starts in a terminal of its own.
_UP = re.compile(r"pgqueue up(?P<options> .*)?")
#: Run by themselves: `make demo` and `make test` are what runs this, and test_packaging.py installs.
_ELSEWHERE = {
    "make demo",
    "make test",
    ". .venv/bin/activate",
    "pip install '.[all]'",
    "pip install build",
    "python -m build",
    'pip install "$(echo dist/*.whl)[all]"',
}
#: What an application's own examples assume.
_SHOP = "create table if not exists visits (at timestamptz default now(), who text)"


class Block(NamedTuple):
    language: str
    text: str


def _blocks(path: str) -> list[Block]:
    page = _GENERATED.sub("", (ROOT / path).read_text())
    return [Block(language, textwrap.dedent(text)) for _indent, language, text in _FENCE.findall(page)]


def _run_block(block: Block, dsn: str, psql: str, folder: Path = ROOT) -> None:
    environment = {**os.environ, "PGQUEUE_DSN": dsn, "PATH": f"{BIN}:{os.environ['PATH']}"}
    commands: dict[str, Callable[[], list[str]]] = {
        "sql": lambda: [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-c", block.text],
        "python": lambda: [sys.executable, "-W", "error", "-c", block.text],
        "sh": lambda: ["sh", "-ec", "\n".join(line for line in block.text.splitlines() if line not in _ELSEWHERE)],
    }
    # psql -c runs its string as one transaction; a file on standard input is run statement by statement, as people do.
    command = commands[block.language]()
    given = None
    if block.language == "sql":
        command, given = [*command[:-2], "-f", "-"], block.text
    done = subprocess.run(
        command, input=given, env=environment, cwd=folder, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, f"{block.text}\n--- said\n{done.stdout}{done.stderr}"


class Reader:
    """Who follows a page: a folder, a terminal in which `pgqueue up` runs, and another for the rest."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._folder = place / "folder"
        self._folder.mkdir()
        self._up = ExitStack()
        self.dsn = ""
        self._psql = ""

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *raised: object) -> None:
        self._up.close()

    def follow(self, block: Block) -> None:
        """Do what a block says: save it, start `pgqueue up` (again) with its options, or run it."""
        if named := _FILE.match(block.text):
            (self._folder / named["name"]).write_text(block.text)
        elif block.language == "sh" and (started := _UP.fullmatch(block.text.strip())):
            self._up.close()
            told = self._up.enter_context(
                running_up(self._place, *shlex.split(started["options"] or ""), cwd=self._folder)
            )
            self.dsn, self._psql = told["dsn"], told["psql"].split()[0]
        else:
            folder = ROOT if "make " in block.text else self._folder
            _run_block(block, self.dsn, self._psql, folder)


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_a_reader_can_paste_a_page_from_top_to_bottom(page: str) -> None:
    with place_for_up() as place, Reader(place) as reader:
        for block in _blocks(page):
            reader.follow(block)

        # All that the page has sent has run, as the page says.
        with psycopg.connect(reader.dsn, autocommit=True) as connection:
            eventually(lambda: connection.execute("select count(*) from pgqueue.message").fetchone() == (0,))
            ended = connection.execute("select state, count(*) from pgqueue.task_result group by state").fetchall()
            jobs = connection.execute("select statement, error from pgqueue.jobs where state <> 'succeeded'").fetchall()
        # Two from the first half, before a worker knew the task, and two from the second.
        assert dict(ended) == {"SUCCESS": 4}
        assert jobs == []


#: Each page of docs/ that has examples; the tutorial has a test of its own.
PAGES = sorted(
    path
    for page in (ROOT / "docs").glob("**/*.md")
    if _blocks(path := str(page.relative_to(ROOT))) and path != "docs/tutorial.md"
)


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run(db: Database, start_worker: Callable[..., Worker], page: str) -> None:
    db.execute("select pgqueue.enroll('postgres')")
    db.execute(_SHOP)
    start_worker(db, arguments=["--concurrency=1", "--executors=2"])
    psql = db.server.embedded.bin_dir / "psql"

    with db.forgetting_new_roles():
        for block in _blocks(page):
            _run_block(block, db.dsn, str(psql))


def test_the_queries_in_the_tables_of_the_pages_run(db: Database) -> None:
    queries = [
        query
        for page in (ROOT / "docs").glob("**/*.md")
        for query in re.findall(r"^\|.*\| `(select [^`]* from pgqueue\.[^`]*)` \|$", page.read_text(), re.MULTILINE)
    ]

    assert any("pgqueue.quotas" in query for query in queries)
    for query in queries:
        db.execute(query)


def test_the_make_targets_that_the_readme_names_exist() -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text())) - {"lists"}

    listed = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout

    assert named
    assert named <= set(re.findall(r"make ([a-z-]+)", listed))


def test_the_readme_lists_each_guide_of_the_site() -> None:
    of_site = re.findall(r"how-to/[\w-]+\.md", (ROOT / "mkdocs.yml").read_text())
    of_readme = re.findall(r"\(docs/(how-to/[\w-]+\.md)\)", (ROOT / "README.md").read_text())

    assert of_site
    assert set(of_site) - set(of_readme) == set()


def test_links_between_the_pages_lead_somewhere() -> None:
    pages = [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "tests/security/README.md")),
        *(path for folder in ("docs", "benchmarks", "examples") for path in (ROOT / folder).glob("**/*.md")),
    ]

    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]

    assert broken == []


def test_the_files_that_a_page_names_exist() -> None:
    missing = []
    for page in [ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("**/*.md")]:
        for line in page.read_text().splitlines():
            folders: list[Path] = []
            for name in re.findall(r"`([\w./*-]+)`", line):
                if re.match(r"(pgqueue|tests|benchmarks|scripts|docs|examples)/", name):
                    found = list(ROOT.glob(name.rstrip("/")))
                    folders.append((ROOT / name).parent)
                elif folders and re.fullmatch(r"[\w*]+\.(py|sql)", name):
                    # Beside a file that this line names, or in a folder of tests.
                    found = [path for folder in folders for path in folder.glob(name)] or list(
                        ROOT.glob(f"tests/*/{name}")
                    )
                else:
                    continue
                if not found:
                    missing.append(f"{page.relative_to(ROOT)}: {name}")

    assert missing == []


def test_the_generated_parts_of_the_reference_are_those_of_this_code(db: Database) -> None:
    if db.server.major != reference.MAJOR:
        pytest.skip(f"the reference is written with PostgreSQL {reference.MAJOR}")
    with psycopg.connect(db.dsn) as connection:
        pages = reference.pages(connection)

    assert [page.name for page, text in pages.items() if page.read_text() != text] == [], "run: make reference"


def test_each_public_name_is_in_the_reference() -> None:
    functions = (ROOT / "docs" / "reference" / "sql-functions.md").read_text()
    python = (ROOT / "docs" / "reference" / "python.md").read_text()

    for name in USER_FUNCTIONS + ADMIN_FUNCTIONS + OWNER_FUNCTIONS:
        assert f"### `{name}`\n" in functions, name
    for name in set(pgqueue.__all__) - {"__version__"}:
        assert re.search(rf"^::: pgqueue\.(\w+\.)*{name}$", python, re.MULTILINE), name
    for name in pgqueue.aio.__all__:
        assert re.search(rf"^::: pgqueue\.aio\.{name}$", python, re.MULTILINE), name


def test_the_settings_that_are_documented_are_those_that_there_are(db: Database) -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    of_database = re.findall(r"^\| `pgqueue\.(\w+)` ", page, re.MULTILINE)
    of_queues = re.findall(r"^\| `(\w+)` \| [^|]* \| [^|]* \| of a queue", page, re.MULTILINE)
    known = db.execute("select setting, of_queue and not of_database from pgqueue._known_setting()")

    assert sorted(of_database) == sorted(name for name, is_queues in known if not is_queues)
    assert sorted(of_queues) == sorted(name for name, is_queues in known if is_queues)


def test_the_prose_keeps_the_rules_of_the_project() -> None:
    checked = subprocess.run(
        [sys.executable, "scripts/prose.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert checked.stdout == ""
