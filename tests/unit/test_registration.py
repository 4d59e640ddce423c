import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_importing_the_broker_registers_the_scheme() -> None:
    code = "import pgqueue.broker, kombu; print(kombu.Connection('pgqueue://').transport.driver_type)"

    assert run_python(code).strip() == "pgqueue"


def test_any_celery_application_knows_the_scheme_once_pgqueue_is_installed() -> None:
    code = "from celery import Celery; print(Celery(broker='pgqueue://db/x').connection().as_uri())"

    assert run_python(code).strip() == "pgqueue://db/x"


def test_importing_kombu_does_not_import_the_transport() -> None:
    code = "import kombu.serialization, sys; print('pgqueue.broker.transport' in sys.modules)"

    assert run_python(code).strip() == "False"


@pytest.mark.parametrize(("gossip", "steps"), [(False, "Mingle"), (True, "Mingle Gossip")])
def test_a_worker_mingles_and_gossips_only_when_asked_to(gossip: bool, steps: str) -> None:
    code = f"""
from celery import Celery
from celery.worker.consumer.gossip import Gossip
from celery.worker.consumer.mingle import Mingle
app = Celery(broker="pgqueue://db/x", set_as_current=False)
app.conf.broker_transport_options = {{"gossip": {gossip}}}
app.connection_for_read().transport
print(*[step.__name__ for step in (Mingle, Gossip) if "pgqueue" in step.compatible_transports])
"""

    assert run_python(code).strip() == steps
