"""Find the servers that shell commands start."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gunicorn_doctor.values import Location

SERVERS = {"gunicorn", "uvicorn", "daphne", "hypercorn"}
# Words before a server's name that say that it is not started.
NOT_STARTED = {
    "install", "add", "which", "command", "echo", "pkill", "pgrep", "killall", "man", "printf",
    "systemctl", "service", "supervisorctl", "journalctl", "useradd", "adduser", "usermod", "grep",
    "mkdir", "touch", "chown", "chmod", "cp", "mv", "ln", "rm", "ls", "cat", "tail", "cd", "test",
}  # fmt: skip
VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?[-=]([^{}]*))?[^{}]*\}|(\w+))")
ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)=(.*)", re.DOTALL)


@dataclass
class Start:
    """One command that starts a server, and what is known of the place where it runs."""

    program: str
    arguments: list[str]
    where: Location
    environment: dict[str, str] = field(default_factory=dict)
    varying: set[str] = field(default_factory=set)  # arguments that have defaults of variables
    replicas: int = 1
    unwritable: str = ""  # why gunicorn cannot create its control socket, if it cannot


def expand(text: str, environment: Mapping[str, str]) -> tuple[str, bool]:
    """Return `text` with variables replaced, and whether one was left to its default."""
    varies = False

    def replace(match: re.Match[str]) -> str:
        nonlocal varies
        name, default = match[1] or match[3], match[2]
        if name in environment:
            return environment[name]
        varies = True
        return default if default is not None else match[0]

    return VARIABLE.sub(replace, text), varies


def simple_commands(script: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the words of each simple command of a shell script."""
    lines = script.replace("\\\r\n", "\\\n").split("\n")
    number = 0
    while number < len(lines):
        start, line = number, lines[number]
        while line.endswith("\\") and number + 1 < len(lines):
            number += 1
            line = line[:-1] + " " + lines[number]
        number += 1
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
        lexer.commenters, lexer.whitespace_split = "#", True
        words: list[str] = []
        try:
            for word in lexer:
                if set(word) <= set("();|&"):
                    yield start + 1, words
                    words = []
                else:
                    words.append(word)
        except ValueError:  # a quotation over several lines: its words are not a command
            continue
        yield start + 1, words


def find_server(words: list[str]) -> tuple[str, list[str]] | None:
    """Return the server that a simple command starts and its arguments, or None."""
    for position, word in enumerate(words):
        name = word.rsplit("/", 1)[-1]
        if name in NOT_STARTED:
            return None
        if name in SERVERS:
            return name, words[position + 1 :]
        if " " in word:  # sh -c "gunicorn ..."
            for _, inner in simple_commands(word):
                if found := find_server(inner):
                    return found
    return None


def starts(script: str, where: Location, environment: Mapping[str, str]) -> Iterator[Start]:
    """Yield the servers that a script or a command line starts, but not those that reload code."""
    known = dict(environment)
    for line, words in simple_commands(script):
        for word in words:
            if assigned := ASSIGNMENT.fullmatch(word):
                value, varies = expand(assigned[2], known)
                if not varies or value != assigned[2]:
                    known.setdefault(assigned[1], value)
            else:
                if word not in {"export", "env", "exec"}:
                    break
        found = find_server(words)
        if not found or any(word.startswith("--reload") for word in found[1]):
            continue
        arguments: list[str] = []
        varying: set[str] = set()
        for word in found[1]:
            text, varies = expand(word, known)
            if arguments and arguments[-1] in {"-e", "--env"} and "=" in text:
                name, _, value = text.partition("=")
                known[name] = value
            arguments.append(text)
            varying |= {text} if varies else set()
        yield Start(
            found[0], arguments, Location(where.path, where.line + line - 1), known, varying
        )


def scripts(words: list[str]) -> list[str]:
    """Return the words of a command that may be the paths of scripts."""
    return [word for word in words if "/" in word or word.endswith(".sh")]
