"""Understand the calls that settings are made of: environment readers, URLs, conversions."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from gunicorn_doctor.expressions import dotted
from gunicorn_doctor.values import Table, Value, unknown

if TYPE_CHECKING:
    from gunicorn_doctor.source import Frame

GETTERS = {"os.environ.get", "environ.get", "os.getenv", "getenv", "config", "decouple.config"}
READER = re.compile(r"_*(env|environ|environs)(\.\w+)?$", re.IGNORECASE)  # env("X"), env.int("X")
URLS = {"db", "db_url", "dj_db_url", "database_url"}
PARSERS = re.compile(r"(dj_database_url\.(config|parse)|.*\bdb_url_config)$")
FALSE = {"", "0", "n", "no", "f", "false", "off", "none"}
ENGINES = {"sqlite": "sqlite3", "mysql": "mysql", "oracle": "oracle"}
TOP_LEVEL = {"CONN_MAX_AGE", "CONN_HEALTH_CHECKS", "DISABLE_SERVER_SIDE_CURSORS"}


def call(frame: Frame, node: ast.Call) -> Value:
    """Return the value of a call, unknown if it is none of those understood."""
    name = dotted(node.func)
    keywords = {each.arg: frame.value(each.value) for each in node.keywords if each.arg}
    arguments = [frame.value(each) for each in node.args if not isinstance(each, ast.Starred)]
    first = arguments[0] if arguments else unknown("nothing")
    if PARSERS.match(name):
        variable = keywords.get("env") or Value("DATABASE_URL")
        given = (
            first if arguments else frame.variable(variable.string(), keywords.get("default"), node)
        )
        return url_table(given, keywords, frame, node)
    if name.endswith("Env"):
        declare(frame, keywords)
    method = name.rpartition(".")[2]
    if name in GETTERS or (READER.match(name) and (first.string() or method in URLS)):
        default = arguments[1] if len(arguments) > 1 else keywords.get("default")
        if method in URLS:
            url = frame.variable(first.string() or "DATABASE_URL", default, node)
            return url_table(url, keywords, frame, node)
        cast = node_name(node, "cast") or method
        if default is None and (name.endswith(("get", "getenv"))):
            default = Value(None)
        return convert(frame.variable(first.string(), default, node), cast)
    if isinstance(node.func, ast.Attribute):
        result = of_table(frame, node.func, arguments, keywords)
        if result is not None:
            return result
    if name == "include":
        return include(frame, node)
    if name in {"dict", "optional", "tuple", "list"}:
        return container(frame, name, node, first)
    if name in {"int", "float", "bool", "str", "strtobool"} and arguments:
        return convert(first, name)
    if name in {"max", "min"} and all(value.known for value in arguments) and arguments:
        chosen = (max if name == "max" else min)(value.data for value in arguments)
        return Value(chosen, frame.where(node), any(value.varies for value in arguments))
    return unknown(ast.unparse(node), frame.where(node), first.variable)


def node_name(node: ast.Call, keyword: str) -> str:
    """Return the name that a keyword argument is, such as `int` for `cast=int`."""
    return next((dotted(each.value) for each in node.keywords if each.arg == keyword), "")


def convert(value: Value, kind: str) -> Value:
    """Return `value` converted to int, float or bool; other kinds leave it as it is."""
    if not value.known or value.data is None:
        return value
    data: Any = value.data
    try:
        if kind in {"int", "integer"}:
            data = int(data)
        elif kind == "float":
            data = float(data)
        elif kind in {"bool", "boolean", "strtobool"} and isinstance(data, str):
            data = data.strip().lower() not in FALSE
    except (TypeError, ValueError):
        return unknown(f"{kind}({data!r})", value.where, value.variable)
    return Value(data, value.where, value.varies, value.variable)


def declare(frame: Frame, keywords: dict[str, Value]) -> None:
    """Take the defaults of `environ.Env(NAME=(type, default))`."""
    for name, value in keywords.items():
        if isinstance(value.data, list) and len(value.data) == 2:
            frame.interpreter.scheme[name] = value.data[1]


def url_table(url: Value, keywords: dict[str, Value], frame: Frame, node: ast.Call) -> Value:
    """Return the entry of DATABASES that a URL gives. It is open: the URL may set more."""
    where = frame.where(node)
    parts = urlsplit(url.string())
    scheme = parts.scheme.split("+")[0]
    engine = ENGINES.get(scheme, "postgresql")
    if scheme == "sqlite" and not url.certain:
        engine = "postgresql"  # what the default is for development says nothing of production
    table = Table(open=not url.certain)
    options = Table(open=not url.certain)
    table["ENGINE"] = keywords.get("engine") or Value(
        f"django.db.backends.{engine}", where, url.varies, url.variable
    )
    table["HOST"] = Value(parts.netloc.rpartition("@")[2], where, url.varies, url.variable)
    for name, data in parse_qsl(parts.query):
        upper = name.upper()
        target = table if upper in TOP_LEVEL else options
        target[upper if upper in TOP_LEVEL else name] = Value(data, where, url.varies, url.variable)
    for keyword, value in keywords.items():
        if keyword.upper() in TOP_LEVEL:
            table[keyword.upper()] = value.at(where)
    table["OPTIONS"] = Value(options, where)
    return Value(table, where)


def of_table(
    frame: Frame, function: ast.Attribute, arguments: list[Value], keywords: dict[str, Value]
) -> Value | None:
    """Return the result of a method of a dictionary, or None if it is another method."""
    tables = list(frame.value(function.value).tables())
    if not tables:
        return None
    key = arguments[0].data if arguments else None
    if function.attr == "update":
        for table in tables:
            table.update(keywords)
            for other in arguments[:1]:
                table.update(next(other.tables(), {}))
                table.open |= not other.known
        return Value(None)
    if function.attr in {"get", "pop", "setdefault"} and isinstance(key, str):
        default = arguments[1] if len(arguments) > 1 else Value(None)
        for table in tables:
            if key in table:
                return table.pop(key) if function.attr == "pop" else table[key]
            if function.attr == "setdefault":
                table[key] = default
        if not any(table.open for table in tables):
            return default
        if next(default.tables(), None) is not None:
            return Value(Table(next(default.tables()), open=True), default.where)
        return unknown(ast.unparse(function), None)
    return Value(Table(tables[0], open=tables[0].open)) if function.attr == "copy" else None


def container(frame: Frame, name: str, node: ast.Call, first: Value) -> Value:
    """Return what dict(), list(), tuple() or split_settings' optional() gives."""
    if name != "dict":
        return first
    unpacked = [each.value for each in node.keywords if each.arg is None]
    keys: list[ast.expr | None] = [None for _ in (*node.args, *unpacked)]
    table = frame.table(keys, [*node.args, *unpacked])
    table.update({each.arg: frame.value(each.value) for each in node.keywords if each.arg})
    return Value(table, frame.where(node))


def include(frame: Frame, node: ast.Call) -> Value:
    """Evaluate the files that django-split-settings includes, in the same scope.

    Where the environment chooses a file, the one for production is taken if there is one.
    """
    for value in frame.items(node.args):
        pattern = value.string()
        if not pattern or pattern.startswith("/") or ".." in pattern:
            continue
        found = sorted(frame.path.parent.glob(pattern))
        if value.varies:
            production = [
                path
                for path in sorted((frame.path.parent / pattern).parent.glob("*.py"))
                if path.stem in {"prod", "production"}
            ]
            found = production or found
        for path in found:
            frame.interpreter.run(path, frame.scope)
    return Value(None)
