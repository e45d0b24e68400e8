"""Rules of a team's own package are found by entry point, with a really installed package."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from doctor_helpers import Write

RULES = '''
from gunicorn_doctor.rules import Rule


def long_age(project):
    """Yield connections that our firewall ends before Django does."""
    for deployment, database in project.pairs():
        for age in database.age.options():
            if age.data is None or age.data > 30:
                yield age.where or database.where, f"CONN_MAX_AGE is {age}, the firewall's is 30"


RULES = [Rule("TEAM001", "warning", "Firewall", "Set CONN_MAX_AGE to 30.", long_age)]
'''


def install(directory: Path, module: str, target: str) -> Path:
    """Build a wheel with one module and one entry point, install it, and return where it is."""
    wheel = directory / "team_rules-1.0-py3-none-any.whl"
    info = "team_rules-1.0.dist-info"
    files = {
        "team_rules.py": module,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: team-rules\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[django_gunicorn_doctor.rules]\nteam = {target}\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    site = directory / "site"
    command = ["uv", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(site)]
    subprocess.run([*command, "--python", sys.executable, str(wheel)], check=True)
    return site


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command with the packages in `site`."""
    return subprocess.run(
        [sys.executable, "-m", "gunicorn_doctor", *arguments],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_installed_rules_are_applied(write: Write, tmp_path: Path) -> None:
    site = install(tmp_path, RULES, "team_rules:RULES")
    root = write()
    done = run(site, "check", str(root), "--format", "json")
    assert done.returncode == 1, done.stderr
    (finding,) = json.loads(done.stdout)["findings"]
    assert finding["rule"] == "TEAM001"
    assert finding["path"] == "config/settings.py"
    assert finding["line"] == 6
    assert run(site, "check", str(root), "--ignore", "TEAM001").returncode == 0
    assert "TEAM001  warning  Firewall" in run(site, "list-rules").stdout
    assert "our firewall ends" in run(site, "explain", "TEAM001").stdout


def test_installed_rules_can_be_skipped(write: Write, tmp_path: Path) -> None:
    site = install(tmp_path, RULES, "team_rules:RULES")
    text = '[tool.django-gunicorn-doctor]\nskip = {TEAM001 = "no firewall"}\n'
    root = write({"pyproject.toml": text})
    assert run(site, "check", str(root)).returncode == 0


@pytest.mark.parametrize(
    ("module", "target", "message"),
    [
        (RULES, "team_rules:MISSING", "entry point team of django_gunicorn_doctor.rules:"),
        ("RULES = [1]", "team_rules:RULES", "is not a Rule: 1"),
        (RULES.replace("TEAM001", "DG001"), "team_rules:RULES", "DG001 is in use"),
        (RULES.replace("age.data > 30", "1 / 0"), "team_rules:RULES", "rule TEAM001 failed"),
    ],
)
def test_broken_rules_are_one_line(
    module: str, target: str, message: str, write: Write, tmp_path: Path
) -> None:
    done = run(install(tmp_path, module, target), "check", str(write()))
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
