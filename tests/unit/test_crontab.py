"""Lines of a crontab: which SQL psql would run, and why a line is none that can be imported."""

from pathlib import Path

import pytest

from pgqueue.cli.crontab import Line, Place, read_crontab

SHOP = Place("shop", "db.example", "5432")


def read(text: str, folder: Path = Path("/nowhere"), *, has_users: bool = False) -> list[Line]:
    return list(read_crontab(text, SHOP, folder=folder, has_users=has_users, timezone="UTC"))


def only(text: str, folder: Path = Path("/nowhere"), *, has_users: bool = False) -> Line:
    [line] = [line for line in read(text, folder, has_users=has_users) if line.sql or line.problem]
    return line


@pytest.mark.parametrize(
    ("command", "sql"),
    [
        ("psql -c 'select 1' shop", "select 1"),
        ("/usr/bin/psql shop -qAtXc \"select 'a b'\"", "select 'a b'"),
        ("psql --dbname=shop --command='select $1'", "select $1"),
        (r'psql -d shop -c "select \$1, \"x\""', 'select $1, "x"'),
        ("psql -d shop -c 'select 1' > /dev/null 2>&1", "select 1"),
        ("psql -d shop -c 'select 1' >/dev/null 2>&1 # each night", "select 1"),
        ("PGDATABASE=shop PGPASSWORD=x psql -c 'select 1 > 0'", "select 1 > 0"),
        ("psql -d shop -v ON_ERROR_STOP=1 -c 'select 1;'", "select 1;"),
        ("psql -d shop -1 -c 'select 1;' -c 'select 2'", "select 1;\nselect 2"),
        (r"psql -d shop -c 'select 5 \% 2'", "select 5 % 2"),
        (r"psql shop%select 1;%select 5 \% 2", "select 1;\nselect 5 % 2"),
        ("psql -d shop -h localhost -p 5432 -c 'select 1'", "select 1"),
        ("psql -d shop -h db.example -c 'select 1'", "select 1"),
        ("psql -d shop -h /var/run/postgresql -c 'select 1'", "select 1"),
        ("psql -d shop -c 'select 1' -o /tmp/out", "select 1"),
    ],
)
def test_the_sql_of_a_call_of_psql_is_found(command: str, sql: str) -> None:
    line = only(f"*/5 1-3 * * mon {command}")

    assert (line.problem, line.schedule, line.sql) == (None, "*/5 1-3 * * mon", sql)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("0 3 * * * /usr/local/bin/backup.sh", 'the command is "/usr/local/bin/backup.sh" and not psql'),
        ("0 3 * * *", "the line has no command"),
        ("0 3 * *", "the line has no command"),
        ("@daily", "the line has no command"),
        ("0 3 * * * X=1", "the line has no command"),
        ("0 3 * * * psql -d shop -c 'select 1' \\", "cron continues no line"),
        ("0 3 * * * cd /tmp && psql -c 'select 1'", "the command needs a shell: several commands or the background"),
        ("0 3 * * * psql -c 'select 1' | mail root", "the command needs a shell: a pipe"),
        ("0 3 * * * psql -d shop < report.sql", "the command needs a shell: a redirected input"),
        ('0 3 * * * psql -d shop -c "select $X"', "the shell would replace a variable or a substitution"),
        ("0 3 * * * psql -d shop -c \"select '`date`'\"", "the shell would replace a command substitution"),
        ("0 3 * * * psql -d $DB -c 'select 1'", "the command needs a shell: a variable or a substitution"),
        ("0 3 * * * psql -f *.sql", "the command needs a shell: a pattern"),
        ("0 3 * * * psql -c 'select 1' > \"$LOG\"", "the command needs a shell: a redirection"),
        ("0 3 * * * psql -c 'select 1", "the command cannot be read: no closing quotation"),
        ("0 3 * * * psql -d shop", "psql gets no SQL"),
        ("0 3 * * * psql -d shop -c ''", "the SQL is empty"),
        ("0 3 * * * psql -d shop -c '\\copy t to f'", "\\copy is a command of psql and not SQL"),
        ("0 3 * * * psql -d shop -c 'select 1 \\gset'", "\\gset is a command of psql and not SQL"),
        ("0 3 * * * psql -l", "psql --list runs no SQL"),
        ("0 3 * * * psql -v day=1 -c 'select :day'", "psql replaces its variables (-v day=1) itself"),
        ("0 3 * * * psql -d shop -c 'select 1' -c 'select 2'", "several -c or -f are several transactions"),
        ("0 3 * * * psql -d other -c 'select 1'", "it is for the database other"),
        ("0 3 * * * psql 'host=x dbname=shop' -c 'select 1'", "psql is given a connection string"),
        ("0 3 * * * psql postgresql:///shop -c 'select 1'", "psql is given a connection string"),
        ("0 3 * * * psql -d shop -h far.example -c 'select 1'", "it is for the server far.example"),
        ("0 3 * * * psql -d shop -p 6432 -c 'select 1'", "it is for the server at port 6432"),
        ("0 3 * * * psql -d shop -f missing.sql", "/nowhere/missing.sql cannot be read"),
        ("0 3 * * * psql --nonsense", "psql is called wrongly"),
        ("PGDATABASE=other\n0 3 * * * psql -c 'select 1'", "it is for the database other"),
        ("PGSERVICE=x\n0 3 * * * psql -d shop -c 'select 1'", "PGSERVICE names the server"),
    ],
)
def test_a_line_that_cannot_be_imported_says_why(given: str, problem: str) -> None:
    line = only(given)

    assert line.sql is None
    assert problem in str(line.problem)


def test_blank_lines_and_comments_are_nothing_and_settings_hold_for_the_lines_after_them() -> None:
    lines = read(
        "\n# comment\n  # another\n0 1 * * * psql -c 'select 1'\nCRON_TZ = Europe/Berlin\nMAILTO=\"root\"\nPGDATABASE='shop'\n"
        "PGUSER=app\n\t0 2 * * * psql -c 'select 2'\nPATH=/bin\n"
    )

    jobs = [(line.number, line.sql, line.timezone, line.owner) for line in lines if line.sql]
    assert jobs == [(4, "select 1", "UTC", None), (9, "select 2", "Europe/Berlin", "app")]
    remarks = {line.number: line.notes[0] for line in lines if not line.sql}
    assert sorted(remarks) == [6, 10]
    assert remarks[6].startswith("MAILTO: no mail is sent")
    assert "names no database" in lines[0].notes[0]


def test_who_runs_a_line_is_its_user_unless_psql_is_told_another() -> None:
    assert only("0 3 * * * app psql -d shop -c 'select 1'", has_users=True).owner == "app"
    assert only("@daily app psql -d shop -U reports -c 'select 1'", has_users=True).owner == "reports"
    assert only("0 3 * * * psql shop reports -c 'select 1'").owner == "reports"
    assert only("0 3 * * * app", has_users=True).problem == "the line has no command after the user"


def test_files_are_read_beside_the_crontab_and_their_commands_of_psql_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("select 1;\nselect 2;\n")
    (tmp_path / "b.sql").write_text("select 1;\n  \\i other.sql\n")
    (tmp_path / "c.sql").write_bytes(b"\xff")

    good = only("@daily psql -d shop -f a.sql", tmp_path)

    assert good.sql == "select 1;\nselect 2;\n"
    assert good.notes[0].startswith("a.sql was read now:")
    assert only("@daily psql -d shop -f b.sql", tmp_path).problem == "\\i is a command of psql and not SQL"
    assert "is not text in UTF-8" in str(only("@daily psql -d shop -f c.sql", tmp_path).problem)


def test_output_that_went_somewhere_is_reported() -> None:
    line = only("@daily psql -d shop -c 'select 1' >> /var/log/x.log 2>&1")

    assert line.notes == ["nothing is written to /var/log/x.log: a schedule keeps no result"]
