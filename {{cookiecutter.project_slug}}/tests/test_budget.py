"""The Kubernetes manifests keep to what PostgreSQL allows, and to gunicorn's patience."""

import shutil

import pytest
import yaml
from connection_slots.checks import effective_config
from django.conf import settings
from django.core.management import call_command

KUBERNETES = settings.BASE_DIR / "deploy" / "kubernetes"


@pytest.mark.parametrize("path", ["base", "overlays/production"])
def test_manifests_fit_the_server(path: str) -> None:
    if path != "base" and shutil.which("kubectl") is None:
        pytest.skip("kubectl, which renders an overlay, is not installed")
    call_command("database_budget", manifests=str(KUBERNETES / path))


def test_pods_end_with_their_requests() -> None:
    deployment, _ = yaml.safe_load_all((KUBERNETES / "base" / "web.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    command = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]
    drain = int(command.rpartition("sleep ")[2])
    grace = pod["terminationGracePeriodSeconds"]
    assert drain + effective_config().graceful_timeout < grace
    assert grace <= deployment["spec"]["minReadySeconds"]
