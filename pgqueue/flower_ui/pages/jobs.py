"""The pages of jobs and of one job, and their JSON."""

from __future__ import annotations

from typing import Any

from tornado.web import HTTPError, authenticated

from .handlers import ApiHandler, DatabaseHandler, PageHandler
from .job_acts import ACTS, JobActs, check_act, read_ids
from .job_filters import LONG_SECONDS, MOST, PAGE, PATIENCE_SECONDS, STATES, read_number

_BIGGEST = 2**63 - 1


async def search(handler: DatabaseHandler) -> dict[str, Any]:
    """Return the page of jobs that the arguments of a request ask for."""
    arguments = {name: handler.text(name) for name in ("before", "limit", "longer")}
    found: dict[str, Any] = await handler.database.read(
        "search_jobs",
        **handler.filters().to_search(),
        before=read_number(arguments, "before", 0, _BIGGEST),
        limit=read_number(arguments, "limit", 1, MOST) or PAGE,
        patience=LONG_SECONDS if arguments["longer"] else PATIENCE_SECONDS,
    )
    return found


async def find_job(handler: DatabaseHandler, id: str) -> dict[str, Any]:
    """Return what may be known of one job.

    Raises:
        HTTPError: there is none, or this role may not see it.
    """
    number = int(id) if len(id) < 19 else _BIGGEST
    job: dict[str, Any] | None = await handler.database.read("page_job", id=number)
    if job is None:
        raise HTTPError(404, f"Job {number} is not known: retention has removed it, or this role may not see it")
    if job["state"] in ("waiting", "queued"):
        job["waits_for"] = await handler.database.read("why_queued", id=number)
    return job


class JobsPage(PageHandler):
    """The list of jobs, and what is done with those selected or with all that match."""

    tab = "jobs"

    @authenticated
    async def get(self) -> None:
        """Show a page of the list."""
        filters = self.filters()
        found = await search(self)
        self.show(
            "pgqueue_jobs.html",
            filters=filters,
            found=found,
            reader=await self.database.read("page_reader"),
            states=STATES,
            before=self.text("before"),
            why_not={act: filters.why_not_all(act) for act in ACTS},
        )

    @authenticated
    async def post(self) -> None:
        """Do it, or first ask whether it is meant."""
        act, is_all = check_act(self.text("act")), self.text("scope") == "all"
        filters, acts = self.filters(), JobActs(self.database)
        ids = [] if is_all else read_ids(self.get_body_arguments("id"))
        if (is_all or act != "retry") and not self.text("confirmed"):
            count = await self.database.run(lambda: acts.count_matching(act, filters)) if is_all else len(ids)
            self.show("pgqueue_confirm.html", act=act, count=count, ids=ids, filters=filters, is_all=is_all)
            return
        outcome = await self.database.run(
            lambda: acts.change_matching(act, filters) if is_all else acts.change_selected(act, ids)
        )
        self.show("pgqueue_outcome.html", outcome=outcome, done=ACTS[act], filters=filters, is_all=is_all)


class JobPage(PageHandler):
    """One job."""

    tab = "jobs"

    @authenticated
    async def get(self, id: str) -> None:
        """Show it."""
        self.show("pgqueue_job.html", job=await find_job(self, id))


class JobsApi(ApiHandler):
    """`GET /api/pgqueue/jobs`: the filters of the page, `before`, `limit` and `longer`."""

    @authenticated
    async def get(self) -> None:
        """Answer with a page of the list."""
        self.answer(await search(self))


class JobApi(ApiHandler):
    """`GET /api/pgqueue/job/ID`."""

    @authenticated
    async def get(self, id: str) -> None:
        """Answer with the job."""
        self.answer(await find_job(self, id))


class JobActsApi(ApiHandler):
    """`POST /api/pgqueue/jobs/retry`, `discard`, `cancel`: `id` (repeated), or the filters with `all=1`."""

    @authenticated
    async def post(self, act: str) -> None:
        """Do it and answer with how many."""
        acts = JobActs(self.database)
        if self.text("all"):
            filters = self.filters()
            if self.text("dry_run"):
                self.answer({"count": await self.database.run(lambda: acts.count_matching(act, filters))})
                return
            outcome = await self.database.run(lambda: acts.change_matching(act, filters))
        else:
            ids = read_ids(self.get_body_arguments("id"))
            outcome = await self.database.run(lambda: acts.change_selected(act, ids))
        self.answer(outcome.to_json())
