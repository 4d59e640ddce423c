"""The list of tasks: state and error fit on a phone's screen, and the worker on a laptop's.

Flower makes each column as wide as its longest text. Here texts are cut, and the page of the row has the whole text;
results and errors share a column, because no task has both; and narrow screens leave columns out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celery import states
from flower.views import tasks as pages
from flower.views.tasks import TasksDataTable, TasksView

# SQL jobs are distinguished by their statement, which Flower shows as arguments; Flower's default columns lack it. The
# number is a link to the page of a job; the left columns are visible on narrow screens, too.
COLUMNS = "uuid,state,name,result,args,runtime,worker,received"

#: The largest width of a column, also on narrow screens, and the screen width in px below which it is left out.
_WIDEST = {
    "uuid": "5.5rem", "name": "min(10.5rem, 10vw)", "result": "min(13rem, 14vw)", "args": "min(13rem, 13vw)",
    "worker": "min(12rem, 18vw)",
}  # fmt: skip
_NARROW = {"name": "17vw", "result": "26vw"}
_SHOWN_FROM = {"received": 1300, "args": 900, "runtime": 700, "worker": 900}
_NARROW_PX = 600

#: The error of an earlier attempt stays with a task while it runs again.
_WITHOUT_ERROR = frozenset({states.SUCCESS, states.STARTED, states.RECEIVED, states.PENDING})
_CUT = "overflow: hidden; text-overflow: ellipsis; white-space: nowrap;"
_STYLE = """
.tasks-table > :not(caption) > * > * { padding-left: 0.6rem; padding-right: 0.6rem; }
.tasks-table .task-uuid-full { display: inline; }
.tasks-table .task-uuid-short { display: none; }
.tasks-table .worker-name-link { max-width: 100%; }
@media (max-width: 600px) {
  .tasks-table > tbody > * > *,
  .dataTables_scrollHead .tasks-table > thead > * > * { padding: 0.6rem 0.35rem !important; }
  .tasks-table > tbody > * > * { font-size: 0.875rem; }
}
"""


def lay_out_tasks() -> None:
    """Apply this to the Flower of this process."""
    pages.TASK_COLUMNS["result"] = "Result or error"
    original, original_format = TasksView.render_string, TasksDataTable.format_task

    def render_string(page: Any, template: str, **values: Any) -> bytes:
        html: bytes = original(page, template, **values)
        if template != "tasks.html":
            return html
        style = _style(slug for slug, _label in values["columns"])
        return html.replace(b"</head>", b"<style>" + style.encode() + b"</style></head>", 1)

    def format_task(table: Any, task: Any) -> Any:
        uuid, args = original_format(table, task)
        return uuid, args if args.state in _WITHOUT_ERROR or not args.exception else _WithError(args)

    TasksView.render_string = render_string
    TasksDataTable.format_task = format_task


class _WithError:
    """A task whose error stands where other tasks have their result."""

    def __init__(self, task: Any) -> None:
        self._task = task

    def as_dict(self) -> dict[str, Any]:
        """Return the task's fields in the form that Flower reads."""
        return {**self._task.as_dict(), "result": self._task.exception}


def _style(columns: Iterable[str]) -> str:
    """Return the CSS rules for a table of these columns."""
    rules = [_STYLE]
    for place, slug in enumerate(columns, 1):
        cell = f".tasks-table :is(th, td):nth-child({place})"
        if slug in _WIDEST:
            rules.append(f"{cell} {{ max-width: {_WIDEST[slug]}; {_CUT} }}")
        if slug in _NARROW:
            rules.append(f"@media (max-width: {_NARROW_PX}px) {{ {cell} {{ max-width: {_NARROW[slug]}; }} }}")
        if slug in _SHOWN_FROM:
            rules.append(f"@media (max-width: {_SHOWN_FROM[slug] - 1}px) {{ {cell} {{ display: none; }} }}")
    return "\n".join(rules)
