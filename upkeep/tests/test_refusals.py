"""Bad input gives one line and exit 2, and changes nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from upkeep_helpers import OLD, edit, files, git, service, upkeep

# One process bakes each set of answers once.
pytestmark = pytest.mark.xdist_group("upkeep")
Break = Callable[[Path], object]


def no_record(project: Path) -> None:
    (project / ".cruft.json").unlink()


def malformed(project: Path) -> None:
    (project / ".cruft.json").write_text("[]")


def no_git(project: Path) -> None:
    shutil.rmtree(project / ".git")


def no_commit(project: Path) -> None:
    no_git(project)
    git("init", "--quiet", cwd=project)


def uncommitted(project: Path) -> None:
    (project / "new.py").write_text("")


def hidden(project: Path) -> None:
    git("config", "status.showUntrackedFiles", "no", cwd=project)
    uncommitted(project)


def skipped(project: Path) -> None:
    git("update-index", "--skip-worktree", "compose.yaml", cwd=project)
    (project / "compose.yaml").write_text("of this machine\n")


def assumed_unchanged(project: Path) -> None:
    git("update-index", "--assume-unchanged", "compose.yaml", cwd=project)
    (project / "compose.yaml").write_text("of this machine\n")


def unknown_template(project: Path) -> None:
    text = (project / ".cruft.json").read_text()
    start = text.rindex('"template": ')
    (project / ".cruft.json").write_text(text[:start] + '"template": "unknown"\n}\n')
    git("commit", "--quiet", "--all", "--message", "unknown", cwd=project)


def unknown_commit(project: Path) -> None:
    edit(
        project / ".cruft.json", f'"commit": "{OLD}",\n  "context"', '"commit": "v0",\n  "context"'
    )
    git("commit", "--quiet", "--all", "--message", "unknown", cwd=project)


def in_the_way(project: Path) -> None:
    (project / ".git" / "info" / "exclude").write_text("config/asgi.py\n")
    (project / "config" / "asgi.py").write_text("# not in git\n")


def nothing(project: Path) -> None:
    """Leave the project as it is."""


@pytest.mark.parametrize(
    ("change", "command", "reason"),
    [
        (no_record, "update PATH", "has no .cruft.json"),
        (malformed, "update PATH", ".cruft.json is malformed"),
        (no_git, "update PATH", "is not in a git repository"),
        (no_commit, "update PATH", "has no commit yet"),
        (uncommitted, "update PATH", "has uncommitted changes"),
        (hidden, "update PATH", "has uncommitted changes"),
        (skipped, "update PATH", "compose.yaml may have changes that git"),
        (assumed_unchanged, "update PATH", "compose.yaml may have changes that git"),
        (unknown_template, "update PATH", "give it with --template"),
        (unknown_commit, "update PATH", "the template has no version v0"),
        (nothing, "update PATH/missing", "is not a directory"),
        (nothing, "update PATH --to 5", "the template has no version 5"),
        (nothing, "update PATH --template /missing", "template /missing cannot be cloned"),
        (nothing, "update", "the following arguments are required: PATH"),
        (nothing, "update PATH --unknown", "unrecognized arguments: --unknown"),
        (nothing, "switch PATH", "the following arguments are required"),
        (nothing, "switch PATH gevent", "gevent is not PROMPT=ANSWER"),
        (nothing, "switch PATH worker=gevent", "worker is not a prompt"),
        (nothing, "switch PATH worker_class=meinheld", "worker_class=meinheld is not offered"),
        (nothing, "switch PATH project_slug=class", "class is a Python keyword"),
        (
            nothing,
            "switch PATH worker_class=eventlet database_driver=psycopg",
            "psycopg 3 does not support eventlet",
        ),
        (in_the_way, "switch PATH worker_class=asgi", "config/asgi.py is in the way"),
    ],
)
def test_bad_input_changes_nothing(
    change: Break, command: str, reason: str, tmp_path: Path
) -> None:
    project = service(tmp_path / "project")
    change(project)
    before = files(project)
    result = upkeep(*command.replace("PATH", str(project)).split())
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1
    assert reason in result.err
    assert files(project) == before


def test_file_where_a_directory_comes_is_in_the_way(tmp_path: Path) -> None:
    project = service(tmp_path / "project", service_kind="api")
    (project / ".git" / "info" / "exclude").write_text("templates\n")
    (project / "templates").write_text("not in git\n")
    before = files(project)
    result = upkeep("switch", project, "service_kind=web")
    assert (result.code, result.out) == (2, "")
    assert "templates is in the way" in result.err
    assert files(project) == before


def test_failed_write_says_how_to_take_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = service(tmp_path / "project")
    before = files(project)

    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.is_relative_to(project):
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        result = upkeep("update", project)
    assert result.code == 3
    assert "Permission denied" in result.err
    assert "`git checkout . && git clean -fd .` takes it back" in result.err
    git("checkout", ".", cwd=project)
    git("clean", "-fd", ".", cwd=project)
    assert files(project) == before


def test_help_says_what_exits_mean() -> None:
    result = upkeep("--help")
    assert result.code == 0
    assert "1 merged with conflicts" in result.out
