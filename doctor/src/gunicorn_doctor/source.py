"""Evaluate a settings or configuration module from its source, without importing it."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from gunicorn_doctor.calls import call
from gunicorn_doctor.expressions import binary, compare, dotted, truth
from gunicorn_doctor.values import Location, Table, Value, either, unknown

Scope = dict[str, Value]
# A call that is given all settings, or the databases, and is not understood.
REACHES_ALL = re.compile(r"\b(locals|globals|vars)\(\)|\bDATABASES\b|^exec\(")
ALL_NAMES = re.compile(r"(locals|globals|vars)\(\)")
LOOPS = 20  # iterations of a loop that are followed
Report = Callable[[Location, str], None]


class Interpreter:
    """Evaluates modules of one project in one environment."""

    def __init__(
        self, root: Path, paths: Iterable[Path], environment: Mapping[str, str], report: Report
    ) -> None:
        """Set up.

        Args:
            root: The checked directory; locations are relative to it.
            paths: Directories that modules are imported from.
            environment: Environment variables that a deployment sets.
            report: Called with a location and one line for what is not understood.
        """
        self.root, self.paths, self.environment, self.report = root, [*paths], environment, report
        self.scheme: Scope = {}  # defaults that `environ.Env(NAME=(type, default))` declares
        self.modules: dict[Path, Scope] = {}

    def module(self, path: Path) -> Scope:
        """Return the names that the module at `path` defines, evaluated once."""
        if path not in self.modules:
            self.modules[path] = {}  # before it is filled: modules may import each other
            self.run(path, self.modules[path])
        return self.modules[path]

    def run(self, path: Path, scope: Scope) -> None:
        """Evaluate the file at `path` in `scope`; a broken file is reported."""
        try:
            tree = ast.parse(path.read_bytes())
            Frame(self, path, scope).block(tree.body)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", None) or 1
            reason = getattr(error, "msg", None) or getattr(error, "strerror", None) or str(error)
            self.report(Location(self.relative(path), line), f"Python cannot be read: {reason}")

    def relative(self, path: Path) -> str:
        """Return `path` relative to the checked directory, with slashes."""
        return path.relative_to(self.root).as_posix()

    def find(self, name: str, start: Path | None = None, level: int = 0) -> Path | None:
        """Return the file of a module in the project, or None if it is elsewhere."""
        bases = self.paths
        if level and start:
            bases = list(start.parents[level - 1 : level])
        for base in bases:
            place = base.joinpath(*filter(None, name.split(".")))
            for candidate in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
                if candidate.is_relative_to(self.root) and candidate.is_file():
                    return candidate
        return None


class Frame:
    """Evaluates the statements and expressions of one module in one scope."""

    def __init__(self, interpreter: Interpreter, path: Path, scope: Scope) -> None:
        self.interpreter, self.path, self.scope = interpreter, path, scope
        self.name = interpreter.relative(path)

    def where(self, node: ast.AST) -> Location:
        """Return the location of `node`."""
        return Location(self.name, getattr(node, "lineno", 1))

    def block(self, statements: list[ast.stmt]) -> None:
        """Evaluate statements in order."""
        for statement in statements:
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        """Evaluate one statement. Functions and classes are not followed."""
        match node:
            case ast.Assign(targets=targets, value=value):
                result = self.value(value).at(self.where(node))
                for target in targets:
                    self.assign(target, result)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self.assign(target, self.value(value).at(self.where(node)))
            case ast.AugAssign(target=target, op=operator, value=value):
                self.assign(target, binary(operator, self.value(target), self.value(value), node))
            case ast.Expr(value=value):
                self.effect(value)
            case ast.If(test=test, body=body, orelse=orelse):
                self.branch(truth(self.value(test)), body, orelse)
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=final):
                self.block([*body, *orelse])
                for handler in handlers:
                    if not isinstance(handler.body[-1], ast.Raise):
                        self.branch(None, handler.body, [])
                self.block(final)
            case ast.With(body=body):
                self.block(body)
            case ast.For(target=target, iter=iterable, body=body):
                self.loop(target, self.value(iterable), body)
            case ast.ImportFrom():
                self.import_from(node)
            case ast.ClassDef(body=body):
                self.class_of_settings(body)
            case ast.While() | ast.Match() | ast.TryStar() | ast.Delete():
                for inner in ast.walk(node):
                    stored = isinstance(getattr(inner, "ctx", None), ast.Store | ast.Del)
                    while stored and isinstance(inner, ast.Subscript):
                        inner = inner.value
                    if stored and isinstance(inner, ast.Name):
                        self.scope[inner.id] = unknown(f"set in line {node.lineno}")

    def effect(self, node: ast.expr) -> None:
        """Evaluate an expression that is a statement; one that may change any setting is told."""
        result = self.value(node)
        if isinstance(node, ast.Call) and not result.known:
            text = ast.unparse(node)
            if REACHES_ALL.search(text):
                self.interpreter.report(self.where(node), f"`{text}` may change settings")

    def branch(self, test: bool | None, body: list[ast.stmt], orelse: list[ast.stmt]) -> None:
        """Evaluate the branch that is taken, or both if that is not known."""
        if test is not None:
            self.block(body if test else orelse)
            return
        before = copy.deepcopy(self.scope)
        self.block(body)
        taken = copy.copy(self.scope)
        self.scope.clear()
        self.scope.update(before)
        self.block(orelse)
        for name, value in taken.items():
            other = self.scope.get(name)
            self.scope[name] = value if other is None else either(value, other)

    def loop(self, target: ast.expr, iterable: Value, body: list[ast.stmt]) -> None:
        """Evaluate the body for each known item, or once with an unknown one."""
        items = [unknown("an item of a loop")]
        if iterable.known and isinstance(iterable.data, Table):
            items = [Value(key) for key in iterable.data]
        elif iterable.known and isinstance(iterable.data, list):
            items = iterable.data
        for item in items[:LOOPS]:
            self.assign(target, item)
            self.block(body)

    def class_of_settings(self, body: list[ast.stmt]) -> None:
        """Report settings that a class holds: which class is used is decided at run time."""
        for node in body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DATABASES":
                self.interpreter.report(self.where(node), "DATABASES is the attribute of a class")

    def import_from(self, node: ast.ImportFrom) -> None:
        """Take names from another module of the project."""
        path = self.interpreter.find(node.module or "", self.path, node.level)
        for alias in node.names:
            if alias.name == "*":
                if path:
                    self.scope.update(self.interpreter.module(path))
                else:
                    text = f"the names of `{ast.unparse(node)}` are not in the project"
                    self.interpreter.report(self.where(node), text)
                continue
            names = self.interpreter.module(path) if path else {}
            missing = unknown(f"{node.module}.{alias.name}", self.where(node))
            self.scope[alias.asname or alias.name] = names.get(alias.name, missing)

    def assign(self, target: ast.expr, value: Value) -> None:
        """Bind a name or an item."""
        match target:
            case ast.Name(id=name):
                self.scope[name] = value
            case ast.Subscript(value=container, slice=index):
                key = self.value(index)
                if ALL_NAMES.match(ast.unparse(container)):
                    text = f"`{ast.unparse(target)}` may change settings"
                    self.interpreter.report(self.where(target), text)
                for table in self.value(container).tables():
                    if isinstance(key.data, str):
                        table[key.data] = value
                    else:
                        table.open = True
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                data = value.data if isinstance(value.data, list) else []
                for position, each in enumerate(targets):
                    known = len(data) == len(targets)
                    self.assign(each, data[position] if known else unknown("an item"))

    def value(self, node: ast.expr) -> Value:
        """Return the value of an expression; what cannot be evaluated is unknown."""
        where = self.where(node)
        match node:
            case ast.Constant(value=data):
                return Value(data, where)
            case ast.Name(id=name):
                return self.scope.get(name) or unknown(name, where)
            case ast.NamedExpr(target=target, value=value):
                result = self.value(value)
                self.assign(target, result)
                return result
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                return Value(self.items(items), where)
            case ast.Dict(keys=keys, values=values):
                return Value(self.table(keys, values), where)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                taken = truth(self.value(test))
                if taken is None:
                    return either(self.value(body), self.value(orelse))
                return self.value(body if taken else orelse)
            case ast.JoinedStr(values=parts):
                return self.joined(parts, where)
            case ast.FormattedValue(value=value):
                return self.value(value)
            case ast.BinOp(left=left, op=operator, right=right):
                return binary(operator, self.value(left), self.value(right), node).at(where)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                taken = truth(self.value(operand))
                return unknown(ast.unparse(node), where) if taken is None else Value(not taken)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as number)):
                return Value(-number, where)
            case ast.BoolOp(op=operator, values=values):
                return self.boolean(isinstance(operator, ast.Or), values, node)
            case ast.Compare(left=left, ops=[operator], comparators=[right]):
                return compare(operator, self.value(left), self.value(right), node)
            case ast.Subscript(value=container, slice=index):
                return self.item(container, index, node)
            case ast.Call():
                return call(self, node)
            case ast.Attribute(attr="DATABASES" as name):
                return self.scope.get(name) or unknown(ast.unparse(node), where)
        return unknown(ast.unparse(node), where)

    def items(self, nodes: list[ast.expr]) -> list[Value]:
        """Return the items of a list or tuple; an unpacked list that is unknown is left out."""
        found: list[Value] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                data = self.value(node.value).data
                found.extend(data if isinstance(data, list) else [])
            else:
                found.append(self.value(node))
        return found

    def table(self, keys: Iterable[ast.expr | None], values: Iterable[ast.expr]) -> Table:
        """Return a dictionary; an unpacked one that is unknown makes it open."""
        table = Table()
        for key, node in zip(keys, values, strict=True):
            value = self.value(node)
            name = self.value(key).data if key else None
            if key is None:
                merged = next(value.tables(), None)
                table.update(merged or {})
                table.open |= merged is None or merged.open or bool(value.alternatives)
            elif isinstance(name, str):
                table[name] = value
            else:
                table[f"<{ast.unparse(key)}>"] = value
        return table

    def joined(self, parts: list[ast.expr], where: Location) -> Value:
        """Return an f-string. Its unknown parts are left out, and the result may vary."""
        values = [self.value(part) for part in parts]
        text = "".join(str(value.data) for value in values if value.known)
        return Value(text, where, varies=any(not value.certain for value in values))

    def boolean(self, any_of: bool, nodes: list[ast.expr], node: ast.expr) -> Value:
        """Return the value of `and` or `or`, by Python's rules for the operand that it returns."""
        varies = False
        for value in map(self.value, nodes):
            if not value.known:
                return unknown(ast.unparse(node), self.where(node), value.variable)
            last = Value(value.data, value.where, varies or value.varies, value.variable)
            if bool(value.data) is any_of:
                return last
            varies |= value.varies
        return last

    def item(self, container: ast.expr, index: ast.expr, node: ast.expr) -> Value:
        """Return an item of a dictionary or list, or an environment variable."""
        key = self.value(index)
        if dotted(container) in {"os.environ", "environ"} and key.string():
            return self.variable(key.string(), None, node)
        value = self.value(container)
        for table in value.tables():
            if isinstance(key.data, str) and key.data in table:
                return table[key.data]
        if value.known and isinstance(value.data, list) and isinstance(key.data, int):
            items: list[Value] = value.data[key.data : key.data + 1]
            return items[0] if items else unknown(ast.unparse(node), self.where(node))
        return unknown(ast.unparse(node), self.where(node))

    def variable(self, name: str, default: Value | None, node: ast.expr) -> Value:
        """Return an environment variable: as a deployment sets it, or its default."""
        if name in self.interpreter.environment:
            return Value(self.interpreter.environment[name], self.where(node), variable=name)
        default = default or self.interpreter.scheme.get(name)
        if default is None or not default.known:
            text = default.text if default else f"the environment variable {name}"
            return unknown(text, self.where(node), name)
        return Value(default.data, self.where(node), varies=True, variable=name)


def assigned(source: str) -> dict[str, int]:
    """Return the public names that a module assigns and never uses, with their lines."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    used = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    found: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node in tree.body:
            found.setdefault(node.name, node.lineno)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, node.lineno)
    inside = {
        inner.id
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
    }
    return {
        name: line
        for name, line in found.items()
        if name not in used | inside and not name.startswith("_") and name.islower()
    }
