"""The wheel has what the command needs, and depends on little."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_wheel_has_the_pages(tmp_path: Path) -> None:
    target = tmp_path / "site"
    build = ["uv", "build", "--quiet", "--wheel", "--out-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"})
    (wheel,) = tmp_path.glob("*.whl")
    install = ["uv", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run([*install, "--python", sys.executable], check=True)
    assert (target / "gunicorn_doctor" / "pages" / "DG001.md").is_file()
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn_doctor", "explain", "DG001"],
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stdout.startswith("# DG001: "), done.stderr


def test_dependencies_are_few_and_have_ranges() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert len(dependencies) <= 3
    assert all(">=" in each and "<" in each for each in dependencies)
