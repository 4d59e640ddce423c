"""Asking before a task is terminated: Flower's button does it at the first click."""

from __future__ import annotations

from typing import Any

from flower.views.tasks import TaskView

_BUTTON = 'id="task-terminate"'
# Flower's script listens on the button, too: what is declined here must not reach it.
_ASKING = (
    f"{_BUTTON} onclick=\"if (!confirm('Stop this while it runs? What it has done in its transaction is undone.'))"
    ' { event.stopImmediatePropagation(); event.preventDefault(); }"'
)


def ask_before_terminating() -> None:
    """Let the page of a task ask."""
    original = TaskView.render_string

    def render_string(page: Any, template: str, **values: Any) -> bytes:
        html: bytes = original(page, template, **values)
        return html.replace(_BUTTON.encode(), _ASKING.encode(), 1)

    TaskView.render_string = render_string
