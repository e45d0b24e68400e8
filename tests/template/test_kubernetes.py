"""The Kubernetes manifests are valid, strictly, as kustomize renders them."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from baking.combinations import DEFAULT
from tests.template.conftest import Bake
from tests.template.tools import assert_passes

needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl, which has kustomize, is not installed"
)
overlays = pytest.mark.parametrize("path", ["base", "overlays/production"])


def rendered(project: Path, path: str, output: Path) -> list[dict[str, Any]]:
    """Write what kustomize makes of a directory to `output`, and return it."""
    done = subprocess.run(
        ["kubectl", "kustomize", project / "deploy" / "kubernetes" / path],  # noqa: S607
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr  # kustomize warns of deprecated fields
    output.write_text(done.stdout)
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize(
    "name",
    [
        *(f"base/{each}.yaml" for each in ("migrate", "network", "scaling", "web")),
        "components/pgbouncer/pgbouncer.yaml",
    ],
)
def test_manifest_is_valid(name: str, bake: Bake) -> None:
    manifest = bake(DEFAULT) / "deploy" / "kubernetes" / name
    assert_passes("kubernetes-validate", "--strict", "--quiet", manifest)


@needs_kubectl
@overlays
def test_rendered_manifests_are_valid(path: str, bake: Bake, tmp_path: Path) -> None:
    manifests = rendered(bake(DEFAULT), path, tmp_path / "all.yaml")
    assert_passes("kubernetes-validate", "--strict", "--quiet", tmp_path / "all.yaml")
    kinds = {one["kind"] for one in manifests}
    assert kinds >= {"Deployment", "HorizontalPodAutoscaler", "Job", "NetworkPolicy", "Service"}
    namespaces = {one["metadata"].get("namespace") for one in manifests}
    assert namespaces == {None if path == "base" else "my-service"}


@needs_kubectl
@overlays
def test_pods_are_restricted(path: str, bake: Bake, tmp_path: Path) -> None:
    pods = [
        one["spec"]["template"]["spec"]
        for one in rendered(bake(DEFAULT), path, tmp_path / "all.yaml")
        if one["kind"] in {"Deployment", "Job"}
    ]
    assert len(pods) == (2 if path == "base" else 3)
    for pod in pods:
        # https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert "memory" in container["resources"]["limits"]


@needs_kubectl
def test_selectors_find_their_pods(bake: Bake, tmp_path: Path) -> None:
    manifests = rendered(bake(DEFAULT), "overlays/production", tmp_path / "all.yaml")
    pods = [
        one["spec"]["template"]["metadata"]["labels"]
        for one in manifests
        if one["kind"] in {"Deployment", "Job"}
    ]
    for one in manifests:
        spec = one["spec"] if one["kind"] != "ConfigMap" else {}
        selector = spec.get("podSelector") or spec.get("selector") or {}
        labels = selector.get("matchLabels", selector)
        if labels:
            assert any(labels.items() <= pod.items() for pod in pods), one["metadata"]["name"]


@needs_kubectl
def test_pooler_is_used_by_requests_only(bake: Bake, tmp_path: Path) -> None:
    manifests = rendered(bake(DEFAULT), "overlays/production", tmp_path / "all.yaml")
    environments = {
        one["metadata"]["name"]: {
            variable["name"]: variable["value"]
            for variable in one["spec"]["template"]["spec"]["containers"][0].get("env", [])
        }
        for one in manifests
        if one["kind"] in {"Deployment", "Job"}
    }
    assert environments["web"]["DATABASE_POOLER"] == "transaction"
    assert "DATABASE_POOLER" not in environments["migrate"]
    assert environments["migrate"]["DATABASE_URL_FILE"].endswith("/migration-database-url")
