import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgqueue.config import Settings, to_conninfo, to_url, with_defaults, without_password
from pgqueue.errors import InvalidDsn


@pytest.mark.parametrize("scheme", ["pgqueue", "postgresql", "postgres", "postgresql+psycopg"])
def test_every_scheme_means_the_same(scheme):
    conninfo = to_conninfo(f"{scheme}://bob:s%40crt@db.example:5433/jobs?sslmode=require")

    assert conninfo_to_dict(conninfo) == {
        "user": "bob",
        "password": "s@crt",
        "host": "db.example",
        "port": "5433",
        "dbname": "jobs",
        "sslmode": "require",
    }


def test_key_value_pairs_are_taken_as_they_are():
    assert conninfo_to_dict(to_conninfo("host=/run/pg dbname=jobs")) == {"host": "/run/pg", "dbname": "jobs"}


def test_an_empty_dsn_leaves_everything_to_libpq():
    assert to_conninfo("") == ""
    assert to_conninfo("pgqueue://") == ""


@pytest.mark.parametrize("dsn", ["nonsense", "host=a colour=blue", "mysql://host/db"])
def test_what_is_no_dsn_is_refused_with_a_hint(dsn):
    with pytest.raises(InvalidDsn) as refused:
        to_conninfo(dsn)

    assert "\n" not in str(refused.value)
    assert refused.value.hint is not None


@pytest.mark.parametrize(
    ("conninfo", "url"),
    [
        ("host=db user=bob dbname=jobs", "pgqueue://bob@db/jobs"),
        ("host=a,b port=1,2 dbname=jobs", "pgqueue://a:1,b:2/jobs"),
        ("host=a,b port=5433 dbname=jobs", "pgqueue://a:5433,b:5433/jobs"),
        ("host=::1 port=5432", "pgqueue://[::1]:5432/"),
        ("host=/run/pg port=5433 dbname=jobs", "pgqueue:///jobs?host=%2Frun%2Fpg&port=5433"),
        ("user=bob password='a b' host=db", "pgqueue://bob:a%20b@db/"),
        ("", "pgqueue:///"),
    ],
)
def test_a_conninfo_is_written_as_a_url(conninfo, url):
    assert to_url(conninfo, "pgqueue") == url


values = st.text(string.ascii_letters + string.digits + " @:/?#[]&=%'\\,+é", min_size=1).filter(
    lambda t: t == t.strip()
)
hosts = st.one_of(st.sampled_from(["db.example", "10.0.0.1", "::1", "/run/postgresql", "a,b", "/run/pg,db"]), st.none())


@pytest.mark.slow
@given(
    user=st.none() | values,
    password=st.none() | values,
    dbname=st.none() | values,
    host=hosts,
    port=st.none() | st.sampled_from(["5432", "1,2"]),
    application_name=st.none() | values,
)
def test_a_url_is_read_back_unchanged(**options):
    given_options = {name: value for name, value in options.items() if value is not None}

    read_back = conninfo_to_dict(to_conninfo(to_url(make_conninfo("", **given_options), "pgqueue")))

    # One port for several hosts is written out for each of them.
    hosts_named = given_options.get("host", "").split(",")
    if given_options.get("port") == "5432" and read_back.get("port") == ",".join(["5432"] * len(hosts_named)):
        read_back["port"] = "5432"
    assert read_back == given_options


def test_what_is_given_wins_over_the_environment():
    environ = {"PGQUEUE_DSN": "dbname=env", "PGQUEUE_DATA": "/env/data", "PGQUEUE_PG_BIN": "/env/bin"}

    from_environment = Settings.load(environ=environ)
    given_settings = Settings.load("dbname=given", data_dir="/given", pg_bin="/bin", environ=environ)

    assert (from_environment.conninfo, str(from_environment.data_dir)) == ("dbname=env", "/env/data")
    assert (given_settings.conninfo, str(given_settings.data_dir)) == ("dbname=given", "/given")
    assert str(given_settings.pg_bin) == "/bin"


def test_no_database_named_is_told_apart_from_an_empty_one():
    assert not Settings.load(environ={}).is_given
    assert Settings.load("dbname=x", environ={}).is_given


@pytest.mark.parametrize("url", ["pgqueue://", "pgqueue:///", " pgqueue:// "])
def test_a_url_that_names_nothing_is_the_database_of_the_environment(url):
    assert Settings.load(url, environ={"PGQUEUE_DSN": "dbname=env"}).conninfo == "dbname=env"
    assert Settings.load(url, environ={}).conninfo == ""
    assert Settings.load("postgresql://", environ={"PGQUEUE_DSN": "dbname=env"}).conninfo == ""


def test_defaults_do_not_override_what_is_said():
    conninfo = conninfo_to_dict(
        with_defaults("keepalives_idle=5 dbname=x", keepalives_idle="10", keepalives_count="3", application_name="me")
    )

    assert conninfo["keepalives_idle"] == "5"
    assert conninfo["keepalives_count"] == "3"
    assert conninfo["application_name"] == "me"


def test_a_shown_conninfo_has_no_password():
    shown = without_password("postgresql://bob:secret@db/jobs")

    assert conninfo_to_dict(shown) == {"host": "db", "user": "bob", "dbname": "jobs"}


def test_an_empty_password_stays_so_that_libpq_does_not_take_pgpassword():
    assert conninfo_to_dict(with_defaults("user=bob password=''"))["password"] == ""
