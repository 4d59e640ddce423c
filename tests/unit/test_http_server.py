"""The HTTP server of probes and metrics, and the labels of queues."""

import contextlib
import os
import socket
import threading

import pytest

from pgqueue.errors import PortInUse
from pgqueue.worker.metrics.http_server import Address, Answer, HttpServer
from pgqueue.worker.metrics.queue_names import OTHER, QueueNames
from tests.harness.ports import free_port
from tests.harness.scrape import fetch


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:9187", "127.0.0.1", 9187),
        ("localhost:1", "localhost", 1),
        ("[::1]:65535", "::1", 65535),
        (" 0.0.0.0:80 ", "0.0.0.0", 80),
    ],
)
def test_an_address_is_a_host_and_a_port(text, host, port):
    address = Address.parse(text)

    assert address == (host, port)
    assert str(address) == text.strip()


@pytest.mark.parametrize(
    "text",
    ["", ":", "80", "host", "host:", ":80", "host:0", "host:65536", "::1:80", "http://host:80", "ho st:80", "a:1/x"],
)
def test_anything_else_is_none(text):
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        Address.parse(text)


@contextlib.contextmanager
def serving(pages):
    port = free_port()
    server = HttpServer(Address("127.0.0.1", port), pages, "test")
    try:
        yield port
    finally:
        server.close()
        server.close()


def test_a_page_that_fails_is_an_error_and_the_next_is_answered():
    def fail():
        raise RuntimeError("secret")

    with serving({"/bad": fail, "/good": lambda: Answer(200, b"fine")}) as port:
        status, body = fetch(port, "/bad")
        assert status == 500
        assert "secret" not in body
        assert fetch(port, "/good?x=1") == (200, "fine")
        assert fetch(port, "/nothing") == (404, "there is nothing at this path; there is /bad /good\n")


def test_a_port_that_is_taken_is_an_error_with_a_hint():
    with (
        serving({}) as port,
        pytest.raises(PortInUse, match=f"cannot listen on 127.0.0.1:{port}: address already in use"),
    ):
        HttpServer(Address("127.0.0.1", port), {}, "test")


def test_a_host_that_is_none_of_this_machine_is_an_error():
    with pytest.raises(PortInUse, match="cannot listen on"):
        HttpServer(Address("nowhere.invalid", 9187), {}, "test")


def test_a_forked_child_does_not_keep_the_port():
    with serving({"/": lambda: Answer(200, b"")}) as port:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)  # until the parent has looked
            os._exit(0)
        os.close(reader)
    try:
        with socket.socket() as other:
            other.bind(("127.0.0.1", port))
    finally:
        os.close(writer)
        os.waitpid(child, 0)


def test_more_requests_than_there_are_places_are_dropped_and_not_queued():
    gate = threading.Event()

    def wait():
        gate.wait(30)
        return Answer(200, b"")

    with serving({"/": wait}) as port, contextlib.ExitStack() as clients:
        waiting = [clients.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(33)]
        for client in waiting:
            client.settimeout(5)
            with contextlib.suppress(OSError):
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        # The last of them finds no place.
        with contextlib.suppress(ConnectionResetError):
            assert waiting[-1].recv(1) == b""
        gate.set()
        assert waiting[0].recv(12) == b"HTTP/1.0 200"


def test_queues_keep_their_labels_and_further_ones_share_one():
    names = QueueNames(2)

    assert [names.label(queue) for queue in ("a", "b", "c", "a", "d", "c")] == ["a", "b", OTHER, "a", OTHER, OTHER]
    assert names.labels == ["a", "b", OTHER]
    assert names.left_out == 2


@pytest.mark.parametrize("queue", ["celeryev.1b2c", "celery@host.celery.pidbox", "x.reply.celery.pidbox"])
def test_celerys_own_queues_have_no_label(queue):
    assert QueueNames(2).label(queue) is None


def test_names_of_queues_do_not_fill_the_memory():
    names = QueueNames(2)
    for n in range(1000):
        names.label(str(n))

    assert len(names.labels) == 3
    assert names.left_out == 20
