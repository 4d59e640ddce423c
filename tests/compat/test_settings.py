"""pg_background's settings: SHOW and SET work everywhere, ranges hold where they are used."""

import pytest

from tests.compat.names import sqlstate_and_message


@pytest.mark.parametrize(
    ("setting", "default"), [("max_workers", "16"), ("default_queue_size", "64kB"), ("worker_timeout", "0")]
)
def test_show_and_set_work_in_every_session(caller, setting, default):
    assert caller.value(f"show pg_background.{setting}") == default
    caller.execute(f"set pg_background.{setting} = 5000")
    assert caller.value(f"show pg_background.{setting}") == "5000"
    caller.execute(f"reset pg_background.{setting}")
    assert caller.value(f"show pg_background.{setting}") == default


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("max_workers", "0", '0 is outside the valid range for parameter "pg_background.max_workers" (1 .. 1000)'),
        (
            "max_workers",
            "1001",
            '1001 is outside the valid range for parameter "pg_background.max_workers" (1 .. 1000)',
        ),
        ("max_workers", "many", 'invalid value for parameter "pg_background.max_workers": "many"'),
        (
            "default_queue_size",
            "4095",
            '4095 is outside the valid range for parameter "pg_background.default_queue_size" (4096 .. 268435456)',
        ),
        (
            "default_queue_size",
            "1TB",
            '1TB is outside the valid range for parameter "pg_background.default_queue_size" (4096 .. 268435456)',
        ),
        (
            "worker_timeout",
            "-1",
            '-1 is outside the valid range for parameter "pg_background.worker_timeout" (0 .. 2147483647)',
        ),
        ("worker_timeout", "soon", 'invalid value for parameter "pg_background.worker_timeout": "soon"'),
    ],
)
def test_a_setting_out_of_range_is_refused_where_it_is_used(caller, setting, value, message):
    caller.execute(f"set pg_background.{setting} = '{value}'")

    assert sqlstate_and_message(caller.refusal("launch", "select 1")) == ("22023", message)
    assert caller.list() == {}


def test_settings_take_units(caller):
    caller.execute("set pg_background.default_queue_size = '256kB'; set pg_background.worker_timeout = '5min'")
    handle = caller.launch("select 1")

    assert caller.list()[handle.pid]["queue_size"] == 256 * 1024
    caller.execute("set pg_background.worker_timeout = '0.1 s'")
    assert caller.result_error(caller.launch("select pg_sleep(60)")).sqlstate == "57014"
