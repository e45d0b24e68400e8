"""The command line: exit codes, formats, skips, baselines, and one clear line for bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from doctor_helpers import Check, Write, database
from gunicorn_doctor.builtin import RULES
from gunicorn_doctor.cli import main

BAD = {
    "Procfile": "web: daphne config.asgi\n",
    "config/settings.py": database(CONN_MAX_AGE="60", OPTIONS="{}"),
}
NOTES = {"config/settings.py": database(OPTIONS="{}")}
SCHEMA = json.loads(Path(__file__).with_name("sarif-schema-2.1.0.json").read_text())


def skip(value: str) -> dict[str, str]:
    """Return a pyproject.toml with the doctor's table."""
    return {"pyproject.toml": f"[tool.django-gunicorn-doctor]\n{value}\n"}


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that has to fail with exit code 2 and one line, and return the line."""
    assert main([*arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_text_names_place_rule_and_fix(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(write(BAD))]) == 1
    text = capsys.readouterr().out
    assert "config/settings.py:6: error DG001 CONN_MAX_AGE is 60 with daphne of Procfile:1" in text
    assert "    fix: Set CONN_MAX_AGE to 0" in text
    assert text.endswith("3 findings (1 error, 2 notes)\n")
    assert "\033" not in text  # plain when it is piped


def test_text_says_what_was_read(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(write())]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "settings: config/settings.py (named in manage.py:2)",
        "server: gunicorn (sync) of Procfile:1",
        "nothing found",
    ]


def test_text_says_that_no_server_was_found(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(write({"Procfile": None}))]) == 0
    assert "no start command found, so rules on worker classes" in capsys.readouterr().out


def test_paths_are_relative_to_the_working_directory(
    write: Write, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(BAD)
    monkeypatch.chdir(root.parent)
    assert check(root).places("DG001") == ["service/config/settings.py:6"]
    monkeypatch.chdir(root)
    assert check(Path()).places("DG001") == ["config/settings.py:6"]


@pytest.mark.parametrize("files", [{}, BAD], ids=["nothing found", "findings"])
def test_sarif_fits_its_schema(
    files: dict[str, str], write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write({**files, **skip('skip = {DG011 = "the role has it"}')})
    main(["check", str(root), "--format", "sarif"])
    log: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.validate(log, SCHEMA, jsonschema.Draft4Validator)
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [each.id for each in RULES]
    if files:
        first = next(each for each in run["results"] if each["ruleId"] == "DG001")
        place = first["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "config/settings.py"
        assert place["region"]["startLine"] == 6
        suppressed = [each for each in run["results"] if each.get("suppressions")]
        assert [each["suppressions"][0]["justification"] for each in suppressed] == [
            "the role has it"
        ]


def test_fingerprint_does_not_depend_on_the_line(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for text in (BAD["config/settings.py"], "# one\n# two\n" + BAD["config/settings.py"]):
        main(["check", str(write({**BAD, "config/settings.py": text})), "--format", "sarif"])
        results = json.loads(capsys.readouterr().out)["runs"][0]["results"]
        found.append([each["partialFingerprints"] for each in results])
    # Only the location of the server is in a message, and it did not move.
    assert found[0] == found[1]


def test_github_annotations_are_escaped(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    files = {**BAD, "compose,100%.yaml": "services: [x\n"}
    assert main(["check", str(write(files)), "--format", "github"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(
        line.startswith("::error file=config/settings.py,line=6,title=DG001 ") for line in lines
    )
    assert any(line.startswith("::notice file=compose%2C100%25.yaml,") for line in lines)


@pytest.mark.parametrize(
    ("files", "level", "code"),
    [(NOTES, "note", 1), (NOTES, "warning", 0), (BAD, "error", 1), ({}, "note", 0)],
)
def test_fail_level_decides_the_exit_code(
    files: dict[str, str], level: str, code: int, write: Write, check: Check
) -> None:
    assert check(write(files), "--fail-level", level).code == code


def test_select_and_ignore(write: Write, check: Check) -> None:
    root = write(BAD)
    assert check(root, "--select", "DG001,DG010").rules == {"DG001", "DG010"}
    assert check(root, "--ignore", "DG001, DG010").rules == {"DG011"}


def test_skip_needs_and_shows_its_reason(
    write: Write, check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write({**NOTES, **skip('skip = {DG010 = "a proxy on this host", DG011 = "the role"}')})
    answer = check(root)
    assert answer.code == 0
    assert [each["reason"] for each in answer.data["skipped"]] == [
        "a proxy on this host",
        "the role",
    ]
    main(["check", str(root)])
    assert "skipped: DG010 (a proxy on this host), 1 finding" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('skip = {DG010 = ""}', "the skip of DG010 has no reason"),
        ('skip = {DG010 = " "}', "the skip of DG010 has no reason"),
        ("skip = {DG010 = true}", "the skip of DG010 has no reason"),
        ('skip = ["DG010"]', "has to be a table"),
        ('skip = {DG999 = "x"}', "there is no rule DG999"),
        ("skipped = {}", "unknown key skipped"),
        ("settings = 1", "has to be the name of a module"),
    ],
)
def test_wrong_configuration_is_refused(
    text: str, message: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, "check", str(write(skip(text))))


def test_settings_module_can_be_given(write: Write, check: Check) -> None:
    root = write({**skip('settings = "config.live"'), "config/live.py": "from .settings import *"})
    assert check(root).data["settings"]["path"] == "config/live.py"
    answer = check(root, "--settings", "config.settings")
    assert answer.data["settings"] == {"path": "config/settings.py", "reason": "given"}


def test_baseline_accepts_and_tells_what_vanished(
    write: Write, check: Check, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline = str(tmp_path / "baseline.json")
    root = write(BAD)
    assert check(root, "--baseline", baseline, "--write-baseline").code == 0
    answer = check(root, "--baseline", baseline)
    assert answer.code == 0
    assert len(answer.data["accepted"]) == 3
    write({**BAD, "gunicorn.conf.py": "", "Procfile": "web: gunicorn config.wsgi"})
    assert main(["check", str(root), "--baseline", baseline]) == 0
    assert "gone: the baseline accepts DG001 in config/settings.py" in capsys.readouterr().out
    main(["check", str(root), "--baseline", baseline, "--format", "github"])
    assert "gone from the baseline: DG001" in capsys.readouterr().err


def test_baseline_has_no_lines(write: Write, check: Check, tmp_path: Path) -> None:
    baseline = str(tmp_path / "baseline.json")
    check(write(BAD), "--baseline", baseline, "--write-baseline")
    moved = {name: f"# moved\n{text}" for name, text in BAD.items()}
    assert check(write(moved), "--baseline", baseline).code == 0


def test_rules_that_are_not_selected_do_not_vanish(
    write: Write, check: Check, tmp_path: Path
) -> None:
    baseline = str(tmp_path / "baseline.json")
    root = write(BAD)
    check(root, "--baseline", baseline, "--write-baseline")
    answer = check(root, "--baseline", baseline, "--select", "DG001")
    assert answer.data["vanished"] == []
    assert len(answer.data["accepted"]) == 1


def test_new_findings_are_not_in_the_baseline(write: Write, check: Check, tmp_path: Path) -> None:
    baseline = str(tmp_path / "baseline.json")
    check(write(NOTES), "--baseline", baseline, "--write-baseline")
    answer = check(write(BAD), "--baseline", baseline)
    assert answer.code == 1
    assert answer.rules == {"DG001"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"findings": [1]}', "\udcff"])
def test_broken_baseline_is_refused(
    text: str, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline = tmp_path / "baseline.json"
    baseline.write_bytes(text.encode(errors="surrogateescape"))
    error = refused(capsys, "check", str(write()), "--baseline", str(baseline))
    assert "is broken; write it again" in error


def test_bad_input_is_one_line(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, empty = str(write()), tmp_path / "empty"
    empty.mkdir()
    missing = str(tmp_path / "missing")
    assert "is not a directory" in refused(capsys, "check", missing)
    assert "is not a directory" in refused(capsys, "check", f"{root}/manage.py")
    assert "no Django project found" in refused(capsys, "check", str(empty))
    assert "there is no rule DG999" in refused(capsys, "check", root, "--select", "DG999")
    assert "there is no rule X" in refused(capsys, "explain", "X")
    assert "No such file" in refused(capsys, "check", root, "--baseline", missing)
    assert "needs --baseline" in refused(capsys, "check", root, "--write-baseline")
    assert "the settings module no.such" in refused(capsys, "check", root, "--settings", "no.such")
    unwritable = refused(
        capsys, "check", root, "--write-baseline", "--baseline", f"{missing}/baseline.json"
    )
    assert "No such file" in unwritable
    write({"pyproject.toml": "[tool]\ndjango-gunicorn-doctor = 1\n"})
    assert "has to be a table" in refused(capsys, "check", root)


def test_checking_changes_nothing_on_disk(write: Write, check: Check) -> None:
    root = write(BAD)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    check(root)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_unreadable_files_are_not_understood(write: Write, check: Check) -> None:
    root = write()
    (root / "Procfile").write_bytes(b"\xff\xfe")
    (root / "pyproject.toml").write_text("[broken")
    (root / "Dockerfile").write_text("RUN true\n")
    assert {place.split(":")[0] for place in check(root).places("DG000")} == {
        "Procfile",
        "pyproject.toml",
        "Dockerfile",
    }


@pytest.mark.parametrize("name", ["Procfile", "bin/run.sh", "data"])
def test_what_may_not_be_read_is_told(
    name: str, write: Write, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write({"bin/run.sh": "#!/bin/sh\n", "data/base": ""})
    (root / name).chmod(0)
    if os.access(root / name, os.R_OK):
        pytest.skip("root may read everything")
    assert check(root).places("DG000") == [f"{name}:1"]
    (root / name).chmod(0o700)


def test_large_lock_file_is_read(write: Write, check: Check) -> None:
    lock = '[[package]]\nname = "gunicorn"\nversion = "25.3.0"\n' + "# filler\n" * 200_000
    root = write({"Procfile": "web: gunicorn -k asgi config.asgi\n", "uv.lock": lock})
    assert "DG007" in check(root).rules


@pytest.mark.parametrize("form", ["text", "json", "sarif", "github"])
def test_names_of_any_bytes_are_printed(
    form: str, write: Write, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    root = write()
    try:
        (root / "a \udcff").mkdir()
    except OSError:
        pytest.skip("the file system has names in UTF-8 only")
    (root / "a \udcff" / "compose.yaml").write_text("services: [")
    assert main(["check", str(root), "--format", form]) == 1
    output = capfdbinary.readouterr().out
    assert form != "sarif" or b'"a%20%FF/compose.yaml"' in output


def test_list_and_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list-rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [rule.id for rule in RULES]
    assert main(["explain", "DG001"]) == 0
    assert capsys.readouterr().out.startswith("# DG001: Persistent connections")


def test_runs_as_a_module_into_a_closed_pipe(write: Write) -> None:
    command = [sys.executable, "-m", "gunicorn_doctor", "check", str(write(BAD))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    process.wait(30)
    assert "Traceback" not in errors
