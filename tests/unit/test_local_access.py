import socket

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from pgqueue.flower_ui.local_access import is_expected_host, is_local_request, is_loopback


def make_request(host: str = "127.0.0.1:5555", **headers: str) -> HTTPServerRequest:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    line = RequestStartLine("POST", "/api/task/revoke/1", "HTTP/1.1")
    return HTTPServerRequest(start_line=line, headers=HTTPHeaders({"Host": host, **given}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_the_loopback_has_many_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "192.168.1.5", "example.com", "localhost.example.com"])
def test_other_hosts_are_not_the_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1:5555", "localhost:5555", "[::1]:5555", "localhost"])
def test_a_program_on_this_machine_may_use_the_api(host: str) -> None:
    assert is_local_request(make_request(host))


def test_flowers_own_page_may_use_the_api() -> None:
    assert is_local_request(make_request(Sec_Fetch_Site="same-origin", Origin="http://127.0.0.1:5555"))


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_in_the_users_browser_may_not(site: str) -> None:
    assert not is_local_request(make_request(Sec_Fetch_Site=site))


def test_another_origin_in_an_old_browser_may_not() -> None:
    assert not is_local_request(make_request(Origin="http://evil.example"))


def test_a_name_that_was_rebound_to_the_loopback_may_not() -> None:
    assert not is_local_request(make_request("evil.example:5555", Sec_Fetch_Site="same-origin"))


@pytest.mark.parametrize("host", ["127.0.0.1:5555", "localhost", "LOCALHOST:1", "[::1]:5555", "localhost."])
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "flower.example"])
def test_the_loopback_is_always_expected(host: str, address: str) -> None:
    assert is_expected_host(host, address, ())


@pytest.mark.parametrize(
    "host", ["evil.example:5555", "evil.example", "192.168.1.5", "", "[::1", "127.0.0.1.evil.example"]
)
def test_a_foreign_host_is_refused_on_the_loopback(host: str) -> None:
    assert not is_expected_host(host, "127.0.0.1", ())


def test_a_number_and_the_machines_name_are_expected_where_flower_listens_on_more() -> None:
    assert is_expected_host("192.168.1.5:5555", "0.0.0.0", ())
    assert is_expected_host(f"{socket.gethostname()}:5555", "0.0.0.0", ())
    assert not is_expected_host("evil.example:5555", "0.0.0.0", ())


def test_further_names_are_allowed_by_an_option() -> None:
    allowed = ("flower.example", ".inside.example")

    assert is_expected_host("Flower.example", "127.0.0.1", allowed)
    assert is_expected_host("a.inside.example:443", "127.0.0.1", allowed)
    for host in ("inside.example", "evilinside.example", "x.flower.example"):
        assert not is_expected_host(host, "127.0.0.1", allowed)
