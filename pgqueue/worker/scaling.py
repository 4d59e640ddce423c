"""Apply Celery's ways to scale a worker's pool to its executors too: remote control and `--autoscale`.

Celery's processes run tasks and executors run SQL jobs. A command sets both numbers. A worker that scales itself has as
many processes as it has tasks, and as many executors as it has jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.worker import autoscale, control, state

from .monitoring.job_request import TASK_NAME, JobRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .executor_pool import ExecutorPool

_CELERYS = "celery.worker.autoscale:Autoscaler"


class TaskAutoscaler(autoscale.Autoscaler):
    """Celery's autoscaler for processes; jobs need none.

    It leaves pools alone that cannot be scaled, such as threads.
    """

    @property
    def qty(self) -> int:
        """Return how many processes would have a task."""
        return sum(not isinstance(request, JobRequest) for request in list(state.reserved_requests))

    def _grow(self, n: int) -> None:
        if _can_scale(self.pool):
            super()._grow(n)

    def _shrink(self, n: int) -> None:
        if _can_scale(self.pool):
            super()._shrink(n)


class TaskAutoscaling(bootsteps.Step):
    """Lets a worker use the autoscaler above, unless its project has one of its own."""

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        if worker.autoscaler_cls == _CELERYS:
            worker.autoscaler_cls = TaskAutoscaler

    def include_if(self, worker: Any) -> bool:
        """Do nothing else."""
        return False


def scale_by_remote_control() -> None:
    """Make `pool_grow`, `pool_shrink` and `autoscale` act on executors as well. Harmless to repeat."""
    for command, options in (
        (pool_grow, {"args": [("n", int)], "signature": "[N=1]"}),
        (pool_shrink, {"args": [("n", int)], "signature": "[N=1]"}),
        (set_autoscale, {"name": "autoscale", "args": [("max", int), ("min", int)], "signature": "[max [min]]"}),
    ):
        control.control_command(**options)(command)


def pool_grow(worker: Any, n: int = 1, **_options: Any) -> Any:
    """Grow the pool by n processes, and by n executors of SQL jobs."""
    executors = _find_executors(worker)
    answer = _ask_celery(worker, _celerys_grow, n)
    if executors is not None and "ok" in answer and n > 0:
        executors.grow(n)
    return answer


def pool_shrink(worker: Any, n: int = 1, **_options: Any) -> Any:
    """Shrink the pool by n processes, and by n executors of SQL jobs. With executors, one of each stays."""
    executors = _find_executors(worker)
    if executors is None or worker.consumer.controller.autoscaler is not None:
        return _celerys_shrink(worker, n)
    spare = worker.consumer.pool.num_processes - 1
    has_shrunk = n > 0 and executors.shrink(n)
    if n > 0 and spare <= 0 and not has_shrunk:
        return control.nok("the last executor and the last process stay")
    try:
        return _ask_celery(worker, _celerys_shrink, min(n, spare))
    except ValueError as busy:
        if not has_shrunk:
            raise
        return control.ok(f"executors will shrink; {busy}")


def set_autoscale(worker: Any, max: int | None = None, min: int | None = None, **_options: Any) -> Any:
    """Set the bounds between which the worker has as many processes and executors as it has work."""
    scaler, executors = worker.consumer.controller.autoscaler, _find_executors(worker)
    if scaler is None or executors is None:
        return _celerys_autoscale(worker, max=max, min=min)
    most = scaler.max_concurrency if max is None else max
    least = scaler.min_concurrency if min is None else min
    if not 0 <= least <= most or most < 1:
        return control.nok(f"cannot have at least {least} and at most {most} processes and executors")
    answer = _celerys_autoscale(worker, max=max, min=min)
    executors.autoscale(least, most)
    return answer


_celerys_grow: Callable[..., Any] = control.pool_grow
_celerys_shrink: Callable[..., Any] = control.pool_shrink
_celerys_autoscale: Callable[..., Any] = control.autoscale


def _ask_celery(worker: Any, command: Callable[..., Any], n: int) -> Any:
    """Let Celery scale its own pool if the pool can be scaled, or return why not."""
    is_refused = worker.consumer.controller.autoscaler is not None
    if is_refused or (n > 0 and _can_scale(worker.consumer.pool)):
        return command(worker, n)
    return control.ok("only executors are scaled")


def _can_scale(pool: Any) -> bool:
    return hasattr(pool, "grow") and hasattr(pool, "shrink")


def _find_executors(worker: Any) -> ExecutorPool | None:
    task = worker.app.tasks.get(TASK_NAME)
    return None if task is None else task.executors
