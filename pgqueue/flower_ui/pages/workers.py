"""The pages of workers with their executors, and of schedules, and their JSON."""

from __future__ import annotations

from typing import Any

from tornado.web import authenticated

from ...errors import InvalidArgument
from ..broker_tab import CONTROL_QUEUES
from .handlers import ApiHandler, DatabaseHandler, PageHandler
from .job_filters import MOST, PATIENCE_SECONDS, JobFilters
from .reading import CHANGING_SECONDS, Told

_SCHEDULES = 500
SCHEDULE_ACTS = ("pause", "resume", "run")


async def list_workers(handler: DatabaseHandler) -> list[dict[str, Any]]:
    """Return the workers, each with the jobs that its executors run."""
    workers: list[dict[str, Any]] = await handler.database.read("page_workers") or []
    running = await handler.database.read(
        "search_jobs",
        **JobFilters(state="running").to_search(), before=None, limit=MOST, patience=PATIENCE_SECONDS,
    )  # fmt: skip
    # Programs that only listen to events, Flower among them, and the queues of control commands stay out.
    for worker in workers:
        worker["queues"] = [each for each in worker["queues"] or [] if not CONTROL_QUEUES.search(each)]
    workers = [each for each in workers if each["queues"] or each["executors"]]
    jobs = {job["id"]: job for job in running["jobs"]}
    for worker in workers:
        worker["jobs"] = [jobs[id] for id in worker["running"] if id in jobs]
    return workers


async def list_schedules(handler: DatabaseHandler) -> list[dict[str, Any]]:
    """Return the schedules that the role may see."""
    schedules: list[dict[str, Any]] = await handler.database.read("page_schedules", limit=_SCHEDULES) or []
    return schedules


async def change_schedule(handler: DatabaseHandler, act: str) -> Told:
    """Pause, resume or run the schedule that a request names.

    Raises:
        InvalidArgument: there is no such act.
    """
    if act not in SCHEDULE_ACTS:
        raise InvalidArgument(f"act {act!r} is not known", sqlstate="22023", hint="It is pause, resume or run.")
    name, owner = (str(handler.get_body_argument(each, "", strip=False)) for each in ("name", "owner"))
    return await handler.database.run(
        lambda: handler.database.ask(CHANGING_SECONDS, f"{act}_schedule", schedule_name=name, owner=owner)
    )


class WorkersPage(PageHandler):
    """The workers, and what their executors do."""

    tab = "workers"

    @authenticated
    async def get(self) -> None:
        """Show them."""
        self.show("pgqueue_workers.html", workers=await list_workers(self))


class SchedulesPage(PageHandler):
    """The schedules."""

    tab = "schedules"

    @authenticated
    async def get(self) -> None:
        """Show them."""
        self.show("pgqueue_schedules.html", schedules=await list_schedules(self), most=_SCHEDULES)

    @authenticated
    async def post(self) -> None:
        """Pause, resume or run one, and show them."""
        told = await change_schedule(self, self.text("act"))
        name = str(self.get_body_argument("name", ""))
        self.show(
            "pgqueue_schedule_outcome.html", act=self.text("act"), name=name, value=told.value, notices=told.notices
        )


class WorkersApi(ApiHandler):
    """`GET /api/pgqueue/workers`."""

    @authenticated
    async def get(self) -> None:
        """Answer with the workers."""
        self.answer({"workers": await list_workers(self)})


class SchedulesApi(ApiHandler):
    """`GET /api/pgqueue/schedules`."""

    @authenticated
    async def get(self) -> None:
        """Answer with the schedules."""
        self.answer({"schedules": await list_schedules(self)})


class ScheduleActsApi(ApiHandler):
    """`POST /api/pgqueue/schedules/pause`, `resume`, `run`, with `name` and `owner`."""

    @authenticated
    async def post(self, act: str) -> None:
        """Do it, and answer with what it returned."""
        told = await change_schedule(self, act)
        self.answer({act: told.value, "notices": told.notices})
