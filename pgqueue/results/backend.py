"""The result backend of Celery: states of tasks, groups and chords, by their ids.

There is one for each application and process, shared by its threads. It uses the connections that the process already
has for its broker.
"""

from __future__ import annotations

import json
import time
import weakref
from typing import TYPE_CHECKING, Any

import psycopg
from celery import states
from celery.backends.asynchronous import AsyncBackendMixin
from celery.backends.base import COMPRESSED_PAYLOAD_MAGIC, Backend
from celery.exceptions import BackendStoreError, TimeoutError
from celery.result import GroupResult, result_from_tuple
from kombu.utils.encoding import bytes_to_str

from ..after_fork import Turn, call_in_forked_child
from ..config import URL_SCHEME, Settings, to_conninfo, to_url, without_password
from ..db.database import Database
from ..decompression import decompress, max_bytes
from ..encryption import HEADER, HIDDEN, SERIALIZER
from .chord import ChordParts, find_structured_header
from .consumer import ResultConsumer
from .ids import to_text_id
from .store import ResultStore, to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: The beginning of a document that the database has written (`pgqueue._end_task`): JSON, whatever serializer the
#: application uses.
_OF_DATABASE = b'{"ended_by" : "pgqueue"'
_backends: weakref.WeakSet[PgQueueBackend] = weakref.WeakSet()


class PgQueueBackend(Backend, AsyncBackendMixin):
    """Keeps results in PostgreSQL, and notifies clients that wait for one."""

    supports_native_join = True
    supports_autoexpire = True
    supports_result_compression = True
    supports_failure_expires = True
    persistent = True

    def __init__(self, app: Any, url: str | None = None, **kwargs: Any) -> None:
        super().__init__(app, url=url, expires_type=float, **kwargs)
        self.database = Database.for_dsn(Settings.load(url).conninfo)
        self._store = ResultStore(self.database, self._find_retry_policy)
        if listen_dsn := self._transport_options.get("listen_dsn"):
            self.database.listen_conninfo = to_conninfo(listen_dsn)
        self._max_decompressed_size = max_bytes(self._transport_options)
        # All threads share it, which keeps a process at one listening connection.
        self.thread_safe = True
        failure_expires = self.app.conf.result_failure_expires
        self.failure_expires = (
            self.expires if failure_expires is None else self.prepare_expires(failure_expires, type=float)
        )
        self.result_consumer = ResultConsumer(
            self, self.app, self.accept, self._pending_results, self._pending_messages
        )
        _backends.add(self)

    def __reduce__(self, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        return super().__reduce__(args, {**(kwargs or {}), "expires": self.expires, "url": self.url})

    def as_uri(self, include_password: bool = False) -> str:
        """Return the URL with all its options, without the password unless asked for."""
        conninfo = self.database.conninfo
        return to_url(conninfo if include_password else without_password(conninfo), URL_SCHEME)

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Return whether the connection was lost: every call here may be repeated."""
        return self._store.is_lost_session(exc)

    def fetch(self, query_name: str, **params: object) -> list[tuple[Any, ...]]:
        """Run a named query of the result store.

        Raises:
            psycopg.Error: the server stays away beyond the retry policy, or refuses the query.
        """
        return self._store.fetch(query_name, **params)

    # States

    def _store_result(
        self,
        task_id: str,
        result: object,
        state: str,
        traceback: str | None = None,
        request: Any = None,
        **_kwargs: Any,
    ) -> object:
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        meta["task_id"] = to_text_id(task_id)
        if "queue" in meta and (key := getattr(request, "limit_key", None)) is not None:
            # An extended result says how to send the task again (pgqueue.retry_task); Celery keeps no headers in it.
            meta["limit_key"] = str(key)
        if getattr(request, HEADER, False) and self.serializer != SERIALIZER:
            # An extended result has the arguments, and this one will be stored as plain text.
            meta.update({name: HIDDEN for name in ("args", "kwargs") if name in meta})
        lifetime = self.failure_expires if state == states.FAILURE else self.expires
        try:
            self.fetch(
                "store_task_result",
                task_id=meta["task_id"],
                state=state,
                content_type=self.content_type,
                payload=to_bytes(self.encode(meta)),
                lifetime_seconds=lifetime or None,
            )
        except psycopg.DatabaseError as failure:
            if self.exception_safe_to_retry(failure):
                raise
            raise BackendStoreError(str(failure), state=state, task_id=task_id) from failure
        return result

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        text = to_text_id(task_id)
        return self.read([text]).get(text, {"status": states.PENDING, "result": None})

    def task_result_exists(self, task_id: str) -> bool:
        """Return whether a state of a task is stored."""
        return bool(self.fetch("read_task_results", task_ids=[to_text_id(task_id)]))

    def read(self, task_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the stored states of these tasks.

        Raises:
            psycopg.Error: the server stays away beyond the retry policy, or refuses the query.
        """
        rows = self.fetch("read_task_results", task_ids=list(map(to_text_id, task_ids)))
        return {task_id: self.decode_result(payload) for task_id, payload in rows}

    def get_many(
        self,
        task_ids: Iterable[str],
        timeout: float | None = None,
        interval: float | None = 0.5,
        no_ack: bool = True,
        on_message: Callable[[Any], object] | None = None,
        on_interval: Callable[[], object] | None = None,
        max_iterations: int | None = None,
        READY_STATES: frozenset[str] = states.READY_STATES,  # noqa: N803 - Celery's name
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the ends of the tasks as they come; call `on_interval` every `interval` seconds.

        Raises:
            TimeoutError: some have not ended in time.
        """
        given = {to_text_id(task_id): task_id for task_id in task_ids}
        awaited = set(given)
        deadline = None if timeout is None else time.monotonic() + timeout
        rounds = 0
        while awaited:
            cached = {task_id: self._cache[task_id] for task_id in awaited if task_id in self._cache}
            metas = {**self.read(awaited - cached.keys()), **cached}
            for task_id, meta in metas.items():
                if meta["status"] in READY_STATES:
                    awaited.discard(task_id)
                    self._cache[task_id] = meta
                    if on_message is not None:
                        on_message(meta)
                    yield given[task_id], meta
            rounds += 1
            if not awaited or rounds == max_iterations:
                return
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"Operation timed out ({timeout})")
            if on_interval:
                on_interval()
            pause = interval or 0.5
            self.result_consumer.wait_for_any(
                awaited, pause if deadline is None else min(pause, deadline - time.monotonic())
            )

    def _add_pending_result(self, task_id: object, result: Any, weak: bool = False) -> None:
        super()._add_pending_result(to_text_id(task_id), result, weak=weak)

    def _remove_pending_result(self, result: Any) -> list[Any]:
        task_id = str(bytes_to_str(result.id))
        left: list[Any] = []
        for waiting in self._pending_results:
            waiters = waiting.get(task_id, {})
            if waiters.get(id(result)) is result:
                del waiters[id(result)]
            left += waiters.values()
            if not waiters:
                waiting.pop(task_id, None)
        return left

    def _forget(self, task_id: str) -> None:
        self.fetch("forget_task_result", task_id=to_text_id(task_id))
        self.result_consumer.cancel_for(task_id)

    def cleanup(self) -> None:
        """Do nothing: the upkeep of the workers drops expired results."""

    # Groups

    def _save_group(self, group_id: str, result: GroupResult) -> GroupResult:
        self._save_group_for(group_id, result, self.expires)
        return result

    def _save_group_for(self, group_id: str, result: GroupResult, lifetime: float | None) -> None:
        """Store a group for `lifetime` seconds, or without an end.

        Raises:
            psycopg.Error: the server stays away beyond the retry policy, or refuses the query.
        """
        payload = to_bytes(self.encode({"result": result.as_tuple()}))
        self.fetch("save_task_group", group_id=to_text_id(group_id), payload=payload, lifetime_seconds=lifetime or None)

    def _restore_group(self, group_id: str) -> dict[str, Any] | None:
        [(payload,)] = self.fetch("read_task_group", group_id=to_text_id(group_id))
        if payload is None:
            return None
        meta: dict[str, Any] = self.decode(payload)
        meta["result"] = result_from_tuple(meta["result"], self.app)
        return meta

    def _delete_group(self, group_id: str) -> None:
        self.fetch("delete_task_group", group_id=to_text_id(group_id))

    # Chords

    @property
    def chord_expires(self) -> float | None:
        """The seconds for which the parts of an unfinished chord are kept; None or 0: without an end."""
        given = self.app.conf.get("result_chord_expires")
        expires: float | None = self.expires if given is None else self.prepare_expires(given, type=float)
        return expires

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Store how many parts a chord has."""
        self.fetch(
            "set_chord_size",
            group_id=to_text_id(group_id),
            size=chord_size,
            lifetime_seconds=self.chord_expires or None,
        )

    def add_to_chord(self, chord_id: str, result: object) -> None:
        """Add one part to a chord."""
        self.fetch("grow_chord", group_id=to_text_id(chord_id), lifetime_seconds=self.chord_expires or None)

    def apply_chord(self, header_result_args: tuple[Any, ...], body: object, **kwargs: Any) -> None:
        """Begin a chord: store the structure of a header that is not a plain list of tasks."""
        if (header := find_structured_header(self, header_result_args)) is not None:
            lifetimes = (self.chord_expires, self.expires)
            # Applications read it too, so it is kept at least as long as other results.
            self._save_group_for(header.id, header, max(lifetimes) if all(lifetimes) else None)

    def on_chord_part_return(self, request: Any, state: str, result: object, **kwargs: Any) -> None:
        """Store the return value of a part of a chord; for the last part, send the callback in the same transaction."""
        ChordParts(self, self._store, self.chord_expires).take(request, state, result)

    def decode(self, payload: Any) -> Any:
        """Decode a stored document.

        Raises:
            DecompressedTooLarge: it is compressed, and its decompressed size exceeds `max_decompressed_size`.
        """
        payload = bytes(payload) if isinstance(payload, memoryview) else payload
        if isinstance(payload, bytes) and payload.startswith(_OF_DATABASE):
            return json.loads(payload)
        if isinstance(payload, bytes) and payload.startswith(COMPRESSED_PAYLOAD_MAGIC):
            method, _, body = payload[len(COMPRESSED_PAYLOAD_MAGIC) :].partition(b"\0")
            payload = decompress(body, method.decode(), self._max_decompressed_size)
        return super().decode(payload)

    def _find_retry_policy(self) -> dict[str, Any]:
        return {**self.retry_policy, **self._transport_options.get("retry_policy", {})}

    @property
    def _transport_options(self) -> dict[str, Any]:
        return self.app.conf.get("result_backend_transport_options") or {}

    def _after_fork(self) -> None:
        """Forget in a forked child which results the parent waits for."""
        for waiters in self._pending_results:
            waiters.clear()
        self._pending_messages.clear()
        self._pending_messages.total = 0
        self.result_consumer._after_fork()


def _forget_parents_waits() -> None:
    for backend in list(_backends):
        backend._after_fork()


call_in_forked_child(Turn.WAITS, _forget_parents_waits)
