"""A program written for Celery beat: a shop's ten tasks by the clock. Nothing in it knows of pgqueue.

It runs unchanged but for the installation, which is a worker,  pgqueue up -A examples.celery_beat_program
and its entries as schedules:  pgqueue schedule import -A examples.celery_beat_program
"""

from datetime import timedelta
from pathlib import Path

from celery import Celery
from celery.schedules import crontab, schedule, solar

app = Celery("shop")
# No results are kept, so beat need not clear them.
app.conf.update(timezone="Europe/Berlin", task_ignore_result=True, result_expires=None)
app.conf.task_routes = {"shop.send_*": {"queue": "mail"}}

app.conf.beat_schedule = {
    # Intervals
    "alive": {"task": "shop.alive", "schedule": 1.0, "args": ("shop",), "kwargs": {"note": "open"}},
    "stock": {"task": "shop.count_stock", "schedule": timedelta(hours=36), "options": {"expires": 3600}},
    "rates": {"task": "shop.fetch_rates", "schedule": schedule(timedelta(hours=1), relative=True)},
    # By the clock
    "digest": {"task": "shop.send_digest", "schedule": crontab("*/15", "8-18", day_of_week="mon-fri"), "args": ["eu"]},
    "backup": {"task": "shop.back_up", "schedule": crontab(30, 3), "options": {"queue": "night", "priority": 2}},
    "prune": {"task": "shop.prune", "schedule": crontab(minute=10, hour="21-4/2"), "kwargs": {"days": 30}},
    "invoices": {"task": "shop.send_invoices", "schedule": crontab(0, 6, day_of_month="1,15"), "args": ("eu", 2)},
    "taxes": {
        "task": "shop.send_taxes",
        "schedule": crontab(0, 9, day_of_month={10}, month_of_year="*/3"),
        "kwargs": {"country": "DE"},
        "options": {"queue": "tax", "expires": timedelta(days=1).total_seconds(), "headers": {"tenant": "eu"}},
    },
    # By the sun in Berlin
    "lights on": {"task": "shop.switch_lights", "schedule": solar("sunset", 52.52, 13.40), "args": [True]},
    "lights off": {"task": "shop.switch_lights", "schedule": solar("sunrise", 52.52, 13.40), "args": [False]},
}


@app.task(name="shop.alive")
def alive(name: str, *, note: str) -> None:
    """Tells who watches the worker's folder that tasks run."""
    with Path("alive.txt").open("a") as file:
        file.write(f"{name} is {note}\n")


@app.task(name="shop.count_stock")
def count_stock() -> None: ...


@app.task(name="shop.fetch_rates")
def fetch_rates() -> None: ...


@app.task(name="shop.send_digest")
def send_digest(region: str) -> None: ...


@app.task(name="shop.back_up")
def back_up() -> None: ...


@app.task(name="shop.prune")
def prune(*, days: int) -> None: ...


@app.task(name="shop.send_invoices")
def send_invoices(region: str, copies: int) -> None: ...


@app.task(name="shop.send_taxes")
def send_taxes(*, country: str) -> None: ...


@app.task(name="shop.switch_lights")
def switch_lights(is_on: bool) -> None: ...
