import re
import sys
from pathlib import Path

import pytest

import pgqueue
from pgqueue.broker.consuming import claims
from pgqueue.sql import function_files, migrations, queries, query

QUERIES = sorted(queries())
SQL = Path(str(sys.modules["pgqueue.sql"].__file__)).parent
CREATED = re.compile(r"^create (?:or replace )?(?:function|procedure|view) ([\w.]+)", re.MULTILINE)


def test_migrations_are_numbered_in_order():
    assert [step.version for step in migrations()] == list(range(1, len(migrations()) + 1))


def test_a_query_that_is_not_there_is_an_error():
    with pytest.raises(KeyError):
        query("no_such_query")


def test_a_file_of_sql_has_300_lines_at_most():
    lines = {path.name: len(path.read_text().splitlines()) for path in SQL.rglob("*.sql")}

    assert {name: count for name, count in lines.items() if count > 300} == {}


def test_a_file_of_functions_comes_after_those_that_it_names():
    names = [file.name for file in function_files()]

    assert len(names) == len(set(names)) == len(list((SQL / "functions").glob("*.sql")))
    assert all(names.index(other) < names.index(file.name) for file in function_files() for other in file.after)


def test_a_file_of_functions_can_be_applied_again():
    for file in function_files():
        assert not re.search(r"^create (?!or replace )", file.text, re.MULTILINE), file


def test_a_function_stands_in_one_file():
    made = [name for file in function_files() for name in CREATED.findall(file.text) if name != "pgqueue._handle"]
    by_migrations = [name for step in migrations() for name in CREATED.findall(step.text)]

    assert sorted(made + by_migrations) == sorted(set(made + by_migrations))


# A part of DISCARD ALL, sent in one go.
SEVERAL_STATEMENTS = {"reset_session", "forget_role"}


def has_several_statements(text):
    without_bodies = re.sub(r"\$\$.*?\$\$|'[^']*'|--[^\n]*", "", text, flags=re.DOTALL)
    return ";" in without_bodies.strip().rstrip(";")


def test_a_query_is_one_statement():
    assert {name for name in QUERIES if has_several_statements(query(name))} == SEVERAL_STATEMENTS


def test_a_query_is_used():
    sources = "".join(path.read_text() for path in Path(pgqueue.__file__).parent.rglob("*.py"))

    assert [name for name in QUERIES if f'"{name}"' not in sources] == []


#: A call that states a default: the name of the setting, its default, and its bounds if there are any.
READ = re.compile(
    r"pgqueue[.]_(?:worker_interval|worker_number|limit|session_setting)\('(\w+)', ([^,)]+)(?:, ([^,)]+), ([^,)]+))?\)"
)
#: What an administrator sets with ALTER DATABASE may be shorter than what pgqueue.configure takes.
SHORTER = {"result_ttl": "0"}


def test_a_setting_has_one_default_wherever_it_is_read():
    [settings] = [file.text for file in function_files() if file.name == "settings"]
    known = {
        name: [value.strip("'") for value in values.split(", ")]
        for name, values in re.findall(
            r"^    \('(\w+)', '[^']+', ((?:[^,]+, ){2}[^,]+), (?:true|false), ", settings, re.MULTILINE
        )
    }
    reads = [(file.name, found) for file in function_files() for found in READ.findall(file.text)]

    assert len(known) > 20
    assert len({name for _, (name, *_) in reads}) > 10
    for file, (name, *values) in reads:
        default, least, greatest = (value.strip("'") for value in values)
        assert default == known[name][0], (file, name)
        if greatest:
            assert [least, greatest] == [SHORTER.get(name, known[name][1]), known[name][2]], (file, name)
    assert f"{claims._NAPTIME:g} s" == known["naptime"][0]
    assert str(claims._MAX_ITEMS) == known["max_items"][0]
