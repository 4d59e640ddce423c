"""Ask for confirmation before a task or a worker is stopped: Flower's buttons act at the first click."""

from __future__ import annotations

from typing import Any

from flower.views.tasks import TaskView
from flower.views.workers import WorkerView

_QUESTIONS = {
    TaskView: {
        'id="task-terminate"': "Stop this while it runs? What it has done in its transaction is undone.",
        'id="task-revoke"': "Take this back before it runs?",
    },
    WorkerView: {'id="worker-shutdown"': "Shut this worker down? It finishes what it runs, and takes nothing more."},
}
# Flower's script also listens on the button, so a declined click must not reach it.
_ASKING = " onclick=\"if (!confirm('{}')) {{ event.stopImmediatePropagation(); event.preventDefault(); }}\""


def ask_before_stopping() -> None:
    """Add the confirmation to the pages of a task and of a worker."""
    for view, questions in _QUESTIONS.items():
        _ask_on(view, {button: button + _ASKING.format(question) for button, question in questions.items()})


def _ask_on(view: Any, buttons: dict[str, str]) -> None:
    original = view.render_string

    def render_string(page: Any, template: str, **values: Any) -> bytes:
        html: bytes = original(page, template, **values)
        for button, asking in buttons.items():
            html = html.replace(button.encode(), asking.encode(), 1)
        return html

    view.render_string = render_string
