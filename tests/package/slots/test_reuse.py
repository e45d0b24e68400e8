"""Every request after the first finds an open connection, whatever the ORM's features did in it."""

import itertools
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import Error, IntegrityError, connection, transaction
from django.db.backends.postgresql.psycopg_any import is_psycopg3, sql
from django.db.backends.signals import connection_created
from django.db.models import Avg, Count, Exists, F, OuterRef, Prefetch, Q, Sum, Value, Window
from django.db.models.functions import Concat, Now, RowNumber

from connection_slots import slots
from tests.package.slots.conftest import ask, held
from tests.package.slots.shop.models import Category, Product, Tag

if not is_psycopg3:
    from psycopg2 import extensions

REQUESTS = 20
NUMBERS = itertools.count()

products = Product.objects


def new_name() -> str:
    """Return a name that no row has."""
    return f"new {next(NUMBERS)}"


def execute(query: Any, parameters: Any = None) -> None:
    """Run a statement and read its rows."""
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        if cursor.description:
            cursor.fetchall()


# Features with more than one expression


def create_update_delete() -> None:
    """Save, change and delete one object."""
    category = Category.objects.create(name=new_name())
    category.name = new_name()
    category.save()
    category.refresh_from_db()
    category.delete()


def bulk_update() -> None:
    """Change several objects in one statement."""
    found = list(products.all())
    for product in found:
        product.price = Decimal(7)
    Product.objects.bulk_update(found, ["price"])


def select_for_update() -> None:
    """Lock rows in a transaction."""
    with transaction.atomic():
        list(products.select_for_update(skip_locked=True))


def nested_atomic() -> None:
    """Roll back to a savepoint, and commit the rest."""
    with transaction.atomic():
        Category.objects.create(name=new_name())
        with pytest.raises(IntegrityError), transaction.atomic():
            Category.objects.create(name="books")
        with transaction.atomic():
            assert Category.objects.exists()


def savepoints() -> None:
    """Use savepoints by hand."""
    with transaction.atomic():
        kept = transaction.savepoint()
        transaction.savepoint_commit(kept)
        transaction.savepoint_rollback(transaction.savepoint())


def rollback() -> None:
    """Leave a transaction with an exception."""
    with pytest.raises(IntegrityError), transaction.atomic():
        Category.objects.create(name="books")


def failed_statement() -> None:
    """Let the server refuse a statement."""
    with pytest.raises(Error):
        execute("SELECT 1 / 0")


def on_commit() -> None:
    """Query after the commit."""
    with transaction.atomic():
        transaction.on_commit(lambda: list(products.all()))


def autocommit_off_and_on() -> None:
    """End a transaction by hand."""
    transaction.set_autocommit(False)
    execute("SELECT 1")
    transaction.commit()
    transaction.set_autocommit(True)


def partly_read_iterator() -> None:
    """Read a few rows from a server-side cursor, and close it."""
    rows = products.iterator(chunk_size=1)
    next(rows)
    rows.close()  # type: ignore[attr-defined]


def chunked() -> None:
    """Read from Django's server-side cursor."""
    with connection.chunked_cursor() as cursor:
        cursor.execute("SELECT generate_series(1, 100)")
        cursor.fetchmany(10)


def change_relations() -> None:
    """Add, set and remove many-to-many relations."""
    product = products.all()[0]
    product.tags.add("a", "b")
    product.tags.remove("a")
    product.tags.set(["a"])
    product.tags.clear()


def execute_wrapper() -> None:
    """Wrap statements in a block."""
    with connection.execute_wrapper(lambda execute, *rest: execute(*rest)):
        list(products.all())


def open_execute_wrapper() -> None:
    """Wrap statements in a block that does not end, as tools for tracing do."""
    connection.execute_wrapper(lambda execute, *rest: execute(*rest)).__enter__()
    list(products.all())


def call_procedure() -> None:
    """Call a function by its name."""
    with connection.cursor() as cursor:
        cursor.callproc("length", ["text"])
        assert cursor.fetchone() == (4,)


def execute_many() -> None:
    """Run a statement for each of several parameters."""
    with connection.cursor() as cursor:
        cursor.executemany("UPDATE shop_tag SET word = %s WHERE word = %s", [("c", "c")] * 3)


def local_settings() -> None:
    """Change settings for a transaction."""
    with transaction.atomic():
        execute("SET LOCAL search_path TO public, pg_catalog")
        execute("SELECT set_config('shop.tenant', '7', true)")
        execute("SELECT set_config('shop.tenant', %s, %s)", ["7", True])
        execute("SELECT set_config('shop.tenant', %(a)s, %(local)s)", {"a": "7", "local": True})
        execute("SET CONSTRAINTS ALL IMMEDIATE")
        execute("SET TRANSACTION READ ONLY")
        execute("SELECT pg_advisory_xact_lock(1)")


def temporary_table() -> None:
    """Create a table that ends with its transaction."""
    with transaction.atomic():
        execute("CREATE TEMP TABLE passing (a int) ON COMMIT DROP")
        execute("INSERT INTO passing VALUES (1)")


def copy() -> None:
    """Read rows with COPY."""
    with connection.cursor() as cursor:
        if not is_psycopg3:
            if extensions.get_wait_callback():
                pytest.skip("psycopg2 refuses COPY with psycogreen")
            with open("/dev/null", "w") as target:
                cursor.cursor.copy_expert("COPY shop_tag TO STDOUT", target)
        else:
            with cursor.cursor.copy("COPY shop_tag TO STDOUT") as rows:
                assert list(rows)


def debug_cursor() -> None:
    """Log statements as CaptureQueriesContext does."""
    connection.force_debug_cursor = True
    list(products.all())
    assert connection.queries


def close_connections() -> None:
    """Ask for what Django's signals ask for."""
    from django.db import close_old_connections, reset_queries

    reset_queries()
    close_old_connections()
    list(products.all())
    close_old_connections()


def introspect() -> None:
    """List tables and columns, as inspectdb does."""
    with connection.cursor() as cursor:
        names = connection.introspection.table_names(cursor)
        assert "shop_product" in names
        connection.introspection.get_table_description(cursor, "shop_product")
        connection.introspection.get_constraints(cursor, "shop_product")


FEATURES: dict[str, Callable[[], object]] = {
    "get": lambda: Category.objects.get(name="books"),
    "missing": lambda: products.filter(name="no").first(),
    "create, update, delete": create_update_delete,
    "filter, exclude": lambda: list(products.filter(price__gt=1).exclude(name="no")),
    "Q, F": lambda: list(products.filter(Q(price__gt=F("id")) | ~Q(name__icontains="x"))),
    "union": lambda: list(products.filter(price=1).union(products.filter(price=2))),
    "union, ordered": lambda: list(products.union(products.all()).order_by("name")[:2]),
    "intersection": lambda: list(products.intersection(products.filter(price=2))),
    "difference": lambda: list(products.difference(products.filter(price=2))),
    "bulk_create": lambda: Category.objects.bulk_create([Category(name=new_name())]),
    "bulk_create, ignore_conflicts": lambda: Category.objects.bulk_create(
        [Category(name="books")], ignore_conflicts=True
    ),
    "bulk_create, update_conflicts": lambda: Category.objects.bulk_create(
        [Category(name="books")],
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=["name"],
    ),
    "bulk_create without a sequence": lambda: Tag.objects.bulk_create([Tag(word=new_name())]),
    "bulk_update": bulk_update,
    "update": lambda: products.update(price=F("price") + 1),
    "delete": lambda: products.filter(name="no").delete(),
    "get_or_create": lambda: Category.objects.get_or_create(name="books"),
    "get_or_create, new": lambda: Category.objects.get_or_create(name=new_name()),
    "update_or_create": lambda: Category.objects.update_or_create(name="books"),
    "update_or_create, new": lambda: Category.objects.update_or_create(name=new_name()),
    "select_for_update": select_for_update,
    "iterator": lambda: list(products.iterator(chunk_size=1)),
    "iterator, partly read": partly_read_iterator,
    "chunked_cursor": chunked,
    "raw": lambda: list(Product.objects.raw("SELECT * FROM shop_product WHERE price > %s", [0])),
    "annotate": lambda: list(Category.objects.annotate(n=Count("products"))),
    "annotate, function": lambda: list(products.annotate(a=Concat("name", Value("!")), b=Now())),
    "annotate, subquery": lambda: list(
        Category.objects.filter(Exists(products.filter(category=OuterRef("pk"))))
    ),
    "annotate, window": lambda: list(products.annotate(row=Window(RowNumber()))),
    "aggregate": lambda: products.aggregate(Sum("price"), Avg("price")),
    "select_related": lambda: list(products.select_related("category")),
    "prefetch_related": lambda: list(products.prefetch_related("tags")),
    "Prefetch": lambda: list(
        Category.objects.prefetch_related(Prefetch("products", products.all()))
    ),
    "explain": lambda: products.explain(),
    "explain, analyze": lambda: products.explain(analyze=True, format="json"),
    "atomic, nested": nested_atomic,
    "savepoints": savepoints,
    "atomic, rolled back": rollback,
    "statement that fails": failed_statement,
    "on_commit": on_commit,
    "autocommit off and on": autocommit_off_and_on,
    "extra": lambda: list(products.extra(select={"twice": "price * 2"})),
    "in_bulk": lambda: Category.objects.in_bulk(["books"], field_name="name"),
    "distinct": lambda: list(products.order_by("name").distinct("name")),
    "values": lambda: list(products.values("name").annotate(Count("id"))),
    "values_list": lambda: list(products.values_list("name", flat=True)),
    "dates": lambda: list(products.filter(details__day="2025-01-01").values("details__day")),
    "exists": lambda: products.exists(),
    "count": lambda: products.count(),
    "first, last, earliest": lambda: [products.first(), products.last(), products.earliest("id")],
    "only, defer": lambda: [list(products.only("name")), list(products.defer("name"))],
    "relations": change_relations,
    "JSON": lambda: list(
        products.filter(details__size__gt=1, details__contains={"size": 2}, details__has_key="size")
    ),
    "regular expression": lambda: list(products.filter(name__iregex=r"^set.*;")),
    "text that looks like a statement": lambda: list(products.filter(name="'; SET a = 1; --")),
    "leading comment": lambda: execute("/* a='b' */ -- c\n SELECT 1"),
    "trailing comment": lambda: execute("SELECT 1 /*traceparent='00-1-1-01'*/"),
    "parentheses": lambda: execute("(SELECT 1) UNION (SELECT 2)"),
    "composed": lambda: execute(
        sql.SQL("SELECT {} FROM {}").format(sql.Literal("a"), sql.Identifier("shop_product"))
    ),
    "bytes": lambda: execute(b"SELECT 1"),
    "callproc": call_procedure,
    "executemany": execute_many,
    "DO": lambda: execute("DO $$ BEGIN PERFORM 1; END $$"),
    "CALL": lambda: execute("CALL does_nothing()"),
    "COMMENT ON": lambda: execute("COMMENT ON TABLE shop_tag IS 'words; SET a = 1'"),
    "local settings": local_settings,
    "temporary table of a transaction": temporary_table,
    "ANALYZE": lambda: execute("ANALYZE shop_tag"),
    "VACUUM": lambda: execute("VACUUM shop_tag"),
    "NOTIFY": lambda: execute("NOTIFY news, 'a'"),
    "TRUNCATE": lambda: execute("TRUNCATE shop_product_tags"),
    "COPY": copy,
    "execute_wrapper": execute_wrapper,
    "execute_wrapper, open": open_execute_wrapper,
    "debug cursor": debug_cursor,
    "close_old_connections": close_connections,
    "introspection": introspect,
    "nothing": lambda: None,
}


@pytest.fixture
def stock(pool: Any) -> Iterator[None]:
    """Have a few rows, and delete all afterwards."""
    execute("CREATE OR REPLACE PROCEDURE does_nothing() LANGUAGE sql AS 'SELECT 1'")
    books = Category.objects.create(name="books")
    Tag.objects.bulk_create([Tag(word="a"), Tag(word="b")])
    for number in range(3):
        details = {"size": number, "day": "2025-01-01"}
        Product.objects.create(category=books, name=f"{number}", price=number, details=details)
    slots.end_request()
    yield
    slots.end_request()
    Category.objects.all().delete()
    Tag.objects.all().delete()


@pytest.fixture
def opened() -> Iterator[list[object]]:
    """Collect what connection_created is sent for."""
    found: list[object] = []

    def note(connection: Any, **kwargs: object) -> None:
        found.append(connection)

    connection_created.connect(note)
    yield found
    connection_created.disconnect(note)


@pytest.mark.parametrize("feature", FEATURES.values(), ids=FEATURES.keys())
def test_connection_is_reused(
    feature: Callable[[], object], stock: None, opened: list[object]
) -> None:
    pids = set()
    for _ in range(REQUESTS):
        slots.begin_request()
        feature()
        assert held() == 0
        pids.add(ask())
        slots.end_request()
    assert len(pids) == 1
    assert not opened


def test_connection_is_reused_after_sequence_functions(stock: None, opened: list[object]) -> None:
    """They keep the slot until the request ends, and the connection may be used again."""
    for _ in range(REQUESTS):
        slots.begin_request()
        execute("SELECT nextval('shop_category_id_seq')")
        execute("SELECT currval('shop_category_id_seq'), lastval()")
        assert held() == 1
        slots.end_request()
        assert held() == 0
    assert not opened


def test_receiver_may_add_an_execute_wrapper(pool: Any, opened: list[object]) -> None:
    """The wrapper of the first request's receiver still wraps in the last request."""
    seen: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        seen.append(sql)
        return execute(sql, *rest)

    def add(connection: Any, **kwargs: object) -> None:
        connection.execute_wrappers.append(note)

    connection_created.connect(add)
    try:
        for _ in range(REQUESTS):
            slots.begin_request()
            ask("SELECT 1")
            slots.end_request()
    finally:
        connection_created.disconnect(add)
    assert seen == ["SELECT 1"] * REQUESTS
    assert len(opened) == 1


def test_receiver_may_change_the_session(pool: Any, opened: list[object]) -> None:
    """The session that a receiver of connection_created leaves is the one that all find."""

    def change(connection: Any, **kwargs: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path TO pg_catalog")

    connection_created.connect(change)
    try:
        for _ in range(REQUESTS):
            slots.begin_request()
            assert ask("SHOW search_path") == "pg_catalog"
            slots.end_request()
    finally:
        connection_created.disconnect(change)
    assert len(opened) == 1
