"""The base of all pages and all answers of the API: access, errors, templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from flower import api
from flower.views import BaseHandler
from tornado.template import Loader, Template
from tornado.web import HTTPError, RequestHandler, authenticated

from ...errors import PgQueueError
from ..local_access import is_loopback
from .job_filters import JobFilters
from .reading import PageDatabase, say, status_of
from .values import TEMPLATE_VALUES

_OWN = Path(__file__).parent / "templates"


class PageLoader(Loader):
    """Finds the templates of pgqueue, and those of Flower that they extend."""

    def _create_template(self, name: str) -> Template:
        own = _OWN / name
        if own.parent == _OWN and own.is_file():
            return Template(own.read_bytes(), name=name, loader=self)
        return super()._create_template(name)


class DatabaseHandler(BaseHandler):
    """Asks the database for a request, and answers with its errors."""

    _loader: ClassVar[PageLoader | None] = None

    def initialize(self, database: PageDatabase) -> None:
        """Take what `routes` gives to each handler."""
        self.database = database

    @property
    def is_read_only(self) -> bool:
        """Whether this Flower changes nothing."""
        return bool(self.application.options.read_only)

    def text(self, name: str) -> str:
        """Return an argument as it was sent: a template escapes it where it is shown."""
        return str(self.get_argument(name, "", escape=False) or "")

    def filters(self) -> JobFilters:
        """Return the filters of jobs in the arguments."""
        return JobFilters.read(self.text)

    def require_change(self) -> None:
        """Refuse to change anything, where this Flower may not."""
        if self.is_read_only:
            raise HTTPError(403, "This Flower is read-only: it was started with --read_only")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with an error: of the database, of the request, or of the program, which the log has."""
        failure = (kwargs.get("exc_info") or (None, None, None))[1]
        if status_code == 401:
            super().write_error(status_code, **kwargs)
            return
        if not hasattr(self, "_current_user"):
            self.current_user = None  # The menu asks for it, which would ask for the password again.
        if isinstance(failure, PgQueueError):
            status_code, told = status_of(failure), say(failure)
        elif isinstance(failure, HTTPError):
            told = {"message": failure.get_message() or failure.reason or "the request was refused", "hint": None}
        else:
            told = {"message": "the page failed; Flower's log has the error", "hint": None}
        self.set_status(status_code)
        self.show_failure({"sqlstate": None, **told})

    def show_failure(self, told: dict[str, str | None]) -> None:
        """Answer with an error."""
        raise NotImplementedError

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log errors of the program. Those of the database are on the page, and may have what users typed."""
        if not isinstance(value, PgQueueError):
            super().log_exception(typ, value, tb)


class PageHandler(DatabaseHandler):
    """A page of HTML."""

    #: The page's place in the menu.
    tab = ""

    def prepare(self) -> None:
        """Refuse strangers: with a password Flower asks for it, and without one it is for this machine."""
        options = self.application.options
        if not (options.basic_auth or options.auth or self.unauthenticated_api or is_loopback(options.address)):
            raise HTTPError(403, "Without a password these pages are shown on a loopback address only (--basic-auth)")
        if self.request.method == "POST":
            api.BaseApiHandler.prepare(self)
            self.require_change()

    def check_xsrf_cookie(self) -> None:
        """Require the token of a form, also where Flower itself does not."""
        super().check_xsrf_cookie()
        RequestHandler.check_xsrf_cookie(self)

    def get_template_path(self) -> str:
        """Name the folder, which is also the key of the loader."""
        return str(_OWN)

    def create_template_loader(self, template_path: str) -> PageLoader:
        """Return the loader; its root are Flower's templates."""
        return PageLoader(str(self.application.settings["template_path"]), whitespace="all")

    def show(self, template: str, **values: Any) -> None:
        """Answer with a page."""
        self.set_header("Cache-Control", "no-store")
        self.render(template, tab=self.tab, is_read_only=self.is_read_only, **TEMPLATE_VALUES, **values)

    def show_failure(self, told: dict[str, str | None]) -> None:
        """Answer with an error as a page."""
        self.show("pgqueue_failure.html", told=told, status=self.get_status())


class ApiHandler(DatabaseHandler):
    """An answer of JSON. Access is that of Flower's API."""

    def prepare(self) -> None:
        """Refuse as Flower's API does."""
        api.BaseApiHandler.prepare(self)
        if self.request.method == "POST":
            self.require_change()

    def answer(self, value: Any) -> None:
        """Answer with a value."""
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(value))

    def show_failure(self, told: dict[str, str | None]) -> None:
        """Answer with an error as JSON."""
        self.answer({"error": told})


__all__ = ["ApiHandler", "DatabaseHandler", "PageHandler", "authenticated"]
