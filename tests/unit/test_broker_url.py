import pytest
from kombu import Connection
from psycopg.conninfo import conninfo_to_dict

import pgqueue.broker  # noqa: F401 - registers the scheme
from pgqueue.broker.url import conninfo_of

SECRET = "pgqueue://bob:s3cret@db1:5433,db2:5434/app?sslmode=require&target_session_attrs=read-write"


def test_all_of_the_url_reaches_libpq() -> None:
    options = conninfo_to_dict(conninfo_of(Connection(SECRET)))

    assert options == {
        "user": "bob",
        "password": "s3cret",
        "host": "db1,db2",
        "port": "5433,5434",
        "dbname": "app",
        "sslmode": "require",
        "target_session_attrs": "read-write",
    }


@pytest.mark.parametrize("url", ["pgqueue://", "pgqueue://;pgqueue://db2/other"])
def test_a_broker_that_names_nothing_is_the_database_of_the_environment(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGQUEUE_DSN", "postgresql://bob:s3cret@db1/app")

    connection = Connection(url)

    expected = {"host": "db1", "user": "bob", "password": "s3cret", "dbname": "app"}
    assert conninfo_to_dict(conninfo_of(connection)) == expected
    assert connection.as_uri() == "pgqueue://bob@db1/app"


def test_the_url_is_shown_with_its_options_and_without_its_password() -> None:
    shown = Connection(SECRET).as_uri()

    assert "s3cret" not in shown
    assert "sslmode=require" in shown
    assert "db1:5433,db2:5434" in shown


def test_the_url_with_its_password_leads_to_the_same_place() -> None:
    connection = Connection(SECRET)

    again = Connection(connection.as_uri(include_password=True))

    assert conninfo_to_dict(conninfo_of(again)) == conninfo_to_dict(conninfo_of(connection))


def test_what_inspect_stats_shows_has_no_password_outside_its_field() -> None:
    info = Connection(SECRET).info()

    assert info.pop("password") == "s3cret"
    assert "s3cret" not in repr(info)


def test_a_clone_keeps_the_password() -> None:
    connection = Connection(SECRET)
    connection.info()

    assert conninfo_to_dict(conninfo_of(connection.clone()))["password"] == "s3cret"


def test_a_fail_over_url_that_kombu_took_apart_leads_there() -> None:
    connection = Connection("pgqueue://bob:s3cret@db1:5433/app;pgqueue://eve:pw@db2:5434/other")
    connection.maybe_switch_next()

    assert conninfo_to_dict(conninfo_of(connection)) == {
        "user": "eve",
        "password": "pw",
        "host": "db2",
        "port": "5434",
        "dbname": "other",
    }


def test_an_empty_url_leaves_everything_to_libpq() -> None:
    assert conninfo_of(Connection("pgqueue://")) == ""
