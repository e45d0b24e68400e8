"""backend/session_state.py: which statements change the session, and which cost nothing."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connection_slots.backend.session_state import NO_EFFECT, Effect, analyse, effect_of

CHANGES, KEEPS, NONE = Effect.CHANGES, Effect.KEEPS, Effect.NONE
ADVANCES, READS = Effect.ADVANCES_SEQUENCE, Effect.READS_SEQUENCE
SOON = Effect.ADVANCES_SEQUENCE | Effect.READ_SOON

CHANGING = [
    # Names that are not in the text as they are
    "SELECT U&\"set\\005fconfig\"('a.b', 'c', false)",
    "SELECT query_to_xml('SELECT set_config(''a.b'', ''c'', false)', true, true, '')",
    # SET and its relatives
    "SET search_path TO a",
    "set\tsearch_path = a",
    'SET"a".b = 1',
    "SET/* */a.b = 1",
    "/* SET LOCAL */ SET a.b = 1",
    "-- SET LOCAL\rSET a.b = 1",
    "SET SESSION a.b = 1",
    "SET LOCAL.b = 1",
    "SET transaction .b = 1",
    "SET LOCAL\u00a0a.b = 1",
    "SET TIME ZONE 'UTC'",
    "SET ROLE app",
    "SET SESSION AUTHORIZATION app",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "RESET a.b",
    "RESET ALL",
    "DISCARD ALL",
    "DISCARD TEMP",
    "LISTEN news",
    "UNLISTEN *",
    "LOAD 'auto_explain'",
    "PREPARE a AS SELECT 1",
    'PREPARE"a" AS SELECT 1',
    "PREPARE transaction AS SELECT 1",
    "DEALLOCATE a",
    "DEALLOCATE ALL",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "DECLARE c SCROLL CURSOR\nWITH  HOLD FOR SELECT 1",
    "START_REPLICATION SLOT a LOGICAL 0/0",
    "FROBNICATE",
    "%s",
    # Several statements
    "SELECT 1; SET a.b = 1",
    "BEGIN; SET a.b = 1; COMMIT",
    ";;SET a.b = 1",
    "SELECT ';'; SET a.b = 1",
    'SELECT 1 AS ";"; SET a.b = 1',
    "SELECT 'it''s'; SET a.b = 1",
    "SELECT E'it\\'s'; SET a.b = 1; --'",
    "SELECT 'a\\'; SET a.b = 1; --'",
    "SELECT $$'$$; SET a.b = 1",
    "SELECT $a$ $b$ $a$; SET a.b = 1; --$b$",
    "SELECT a$b$; SET a.b = 1; SELECT a$b$",
    "SELECT $1$2$1; SET a.b = 1",
    "SELECT 1 /* /* */ ' */; SET a.b = 1 --'",
    "SELECT 1 -- '\n; SET a.b = 1 --'",
    "SELECT '--'; SET a.b = 1",
    "SELECT '/*'; SET a.b = 1; SELECT '*/'",
    # set_config()
    "SELECT set_config('a.b', 'c', false)",
    "SELECT Set_Config('a.b', 'c', FALSE)",
    "SELECT pg_catalog.set_config ( 'a.b', 'c', 'f' )",
    "SELECT \"set_config\"('a.b', 'c', false)",
    "SELECT set_config/* */('a.b', 'c', false)",
    "SELECT set_config('a.b', 'c', is_local)",
    "SELECT set_config('a.b', 'c', t) FROM (SELECT false AS t) AS u",
    "SELECT set_config('a.b', 'c', NOT true)",
    "SELECT set_config('a.b', 'c', true AND false)",
    "SELECT set_config('a.b', ', true)', false)",
    "SELECT set_config('a.b', 'c', false /* true) */)",
    "SELECT set_config(a, b, c) FROM d",
    "SELECT set_config('a.b', 'c', true), set_config('a.b', 'c', false)",
    "SELECT set_config(",
    "SELECT set_config(set_config('a.b', 'c', false), 'c', true)",
    "WITH a AS (SELECT set_config('a.b', 'c', false)) SELECT * FROM a",
    "CALL p(set_config('a.b', 'c', false))",
    "UPDATE pg_settings SET setting = 'c' WHERE name = 'a.b'",
    'update "pg_catalog"."pg_settings" SET setting = %s WHERE name = %s',
    # Temporary tables
    "CREATE TEMP TABLE a ()",
    "create temporary table a as SELECT 1",
    "CREATE LOCAL TEMP TABLE a ()",
    "CREATE GLOBAL TEMPORARY TABLE a ()",
    "CREATE TEMP TABLE a () ON COMMIT DELETE ROWS",
    "CREATE TEMP TABLE a () ON COMMIT DROP; CREATE TEMP TABLE b ()",
    "CREATE TEMP SEQUENCE a",
    "CREATE OR REPLACE TEMP VIEW a AS SELECT 1",
    "CREATE TEMP RECURSIVE VIEW a (b) AS SELECT 1",
    "EXPLAIN ANALYZE CREATE TEMP TABLE a AS SELECT 1",
    "SELECT 1 INTO TEMP a",
    "SELECT 1 AS b INTO TEMPORARY TABLE a",
    "SELECT 1 INTO LOCAL TEMP a",
    "WITH a AS (SELECT 1) SELECT * INTO TEMP b FROM a",
    "CREATE TABLE pg_temp.a ()",
    "CREATE TABLE Pg_Temp.a AS SELECT 1",
    'CREATE TABLE "pg_temp".a ()',
    "CREATE TABLE pg_temp_3.a ()",
    "SELECT 1 INTO pg_temp.a",
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SELECT set_config('search_path', 'pg_temp', true); CREATE TABLE a ()",
    # Functions with an effect on the session
    "SELECT pg_advisory_lock(1)",
    "SELECT PG_ADVISORY_LOCK (1, 2)",
    "SELECT pg_try_advisory_lock(1)",
    "SELECT pg_advisory_lock_shared(1)",
    "SELECT pg_try_advisory_lock_shared(1)",
    "SELECT 1 WHERE pg_try_advisory_lock(1)",
    'SELECT "pg_advisory_lock"(1)',
    "SELECT setseed(0.5)",
    "SELECT dblink_connect('a', 'b')",
    # DO
    "DO $$ BEGIN SET a.b = 1; END $$",
    "DO $a$ BEGIN IF true THEN SET a.b = 1; END IF; END $a$",
    "DO $$ BEGIN CASE WHEN true THEN SET a.b = 1; ELSE NULL; END CASE; END $$",
    "DO $$ BEGIN CASE WHEN false THEN NULL; ELSE RESET a.b; END CASE; END $$",
    "DO $$ BEGIN FOR i IN 1..2 LOOP SET ROLE a; END LOOP; END $$",
    "DO $$ <<a>> BEGIN SET a.b = 1; END $$",
    "DO $$ <<a>>SET a.b = 1; $$",
    "DO $$ DECLARE a int; BEGIN -- '\n SET a.b = 1; END $$",
    "DO $$ BEGIN RAISE NOTICE '--'; SET a.b = 1; END $$",
    "DO $$ BEGIN PERFORM $a$it's$a$; SET a.b = 1; END $$",
    "DO $$ BEGIN SET a.b = 1; END",
    "DO $$ BEGIN PERFORM 1; EXCEPTION WHEN others THEN LISTEN a; END $$",
    "DO LANGUAGE plpgsql $$ BEGIN SET a.b = 1; END $$",
    "/* */ DO $$ BEGIN SET a.b = 1; END $$",
    "SELECT 1; DO $$ BEGIN SET a.b = 1; END $$",
    "DO 'BEGIN SET a.b = 1; END'",
    "DO E'BEGIN SET a.b = 1; END'",
    "DO $$ BEGIN CREATE TEMP TABLE a (); END $$",
    "DO $$ BEGIN IF true THEN CREATE TEMP TABLE a AS SELECT 1; END IF; END $$",
    "DO $$ BEGIN CREATE TABLE pg_temp.a (); END $$",
    "DO $$ BEGIN PERFORM set_config('a.b', 'c', false); END $$",
    "DO $$ BEGIN PERFORM pg_advisory_lock(1); END $$",
    "DO $$ BEGIN UPDATE pg_settings SET setting = 'c' WHERE name = 'a.b'; END $$",
    "DO $$ BEGIN EXECUTE 'SET a.b = 1'; END $$",
    "DO $$ BEGIN EXECUTE format('SET ROLE %I', 'a'); END $$",
    "DO $$ BEGIN NULL; END $$; SET a.b = 1",
    "DO $$ BEGIN NULL; END $$; FROBNICATE",
    "DO LANGUAGE plpython3u $$ plpy.execute('SET a.b = 1') $$",
    "DO $$ $$ LANGUAGE plperl",
]

HARMLESS = [
    "",
    " ; ",
    "-- nothing",
    "SELECT 1",
    "SELECT 1;",
    "select 1",
    "SELECT'a'",
    "(SELECT 1) UNION (SELECT 2)",
    "( (SELECT 1) ) EXCEPT (SELECT 2)",
    "-- a comment\nSELECT 1",
    "/* a comment */ SELECT 1",
    "/* SET a = 1; */ SELECT 1 -- ; SET a = 1",
    "/* a /* nested */ SET a.b = 1 */ SELECT 1",
    "/*a='1',b='2'*/ (SELECT 1)",
    "VALUES (1)",
    "TABLE a",
    "WITH a AS (SELECT 1) SELECT * FROM a",
    "SELECT * FROM a FOR UPDATE SKIP LOCKED",
    "UPDATE a SET b = 1",
    "UPDATE a SET b = 1 RETURNING b",
    "DELETE FROM a",
    "TRUNCATE a",
    "COPY a TO STDOUT",
    "COPY (SELECT b FROM a) TO STDOUT",
    "CALL p(1)",
    "CALL p(%s)",
    "DO $$ BEGIN PERFORM 1; END $$",
    "DO $$ BEGIN UPDATE a SET b = 1; END $$",
    "DO $$ BEGIN SET LOCAL a.b = 1; -- SET a.b = 1;\n END $$ LANGUAGE plpgsql",
    "DO $$ BEGIN RAISE NOTICE 'SET a'; IF b THEN ALTER TABLE a SET LOGGED; END IF; END $$",
    "DO $$ BEGIN CREATE TEMP TABLE a () ON COMMIT DROP; END $$",
    "DO $$ BEGIN PERFORM set_config('a.b', 'c', true); END $$",
    "COMMENT ON TABLE a IS 'a'",
    "COMMENT ON TABLE a IS 'a; SET b = 1'",
    "EXPLAIN SELECT 1",
    "EXPLAIN (ANALYZE, FORMAT JSON) UPDATE a SET b = 1",
    "EXECUTE a (1)",
    "SHOW search_path",
    "VACUUM a",
    "ANALYZE a",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY a",
    "REINDEX TABLE a",
    "CLUSTER a",
    "CHECKPOINT",
    "LOCK TABLE a",
    "NOTIFY news, 'text'",
    "GRANT SELECT ON a TO b",
    "REVOKE ALL ON a FROM b",
    "REASSIGN OWNED BY a TO b",
    "SECURITY LABEL ON TABLE a IS 'b'",
    "IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c",
    "CREATE TABLE a ()",
    "CREATE TABLE temp ()",
    "CREATE INDEX a ON b (c)",
    "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql SET a.b = 1 AS $$ BEGIN SET a = 1; END $$",
    "CREATE RULE a AS ON INSERT TO b DO NOTHING",
    "ALTER TABLE a ALTER COLUMN b SET DEFAULT 1",
    "ALTER ROLE a SET b.c = 1",
    "DROP TABLE a",
    # Transactions
    "BEGIN",
    "BEGIN ISOLATION LEVEL SERIALIZABLE",
    "START TRANSACTION READ ONLY",
    "COMMIT",
    "END",
    "ROLLBACK",
    "ABORT",
    "SAVEPOINT a",
    "RELEASE SAVEPOINT a",
    "ROLLBACK TO SAVEPOINT a",
    "PREPARE TRANSACTION 'a'",
    "COMMIT PREPARED 'a'",
    "SET LOCAL a.b = 1",
    "set  local\nROLE a",
    "SET/* */LOCAL a.b = 1",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET CONSTRAINTS ALL IMMEDIATE",
    "BEGIN; SET LOCAL a.b = 1; COMMIT",
    "CREATE TEMP TABLE a () ON COMMIT DROP",
    "create temporary table a on commit\ndrop as SELECT 1",
    "DECLARE c CURSOR FOR SELECT 1",
    "DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1",
    "FETCH 10 FROM c",
    "MOVE 10 FROM c",
    "CLOSE c",
    "SELECT pg_advisory_xact_lock(1)",
    "SELECT pg_try_advisory_xact_lock(1)",
    # Local settings
    "SELECT set_config('a.b', 'c', true)",
    "SELECT set_config('a.b', 'c', TRUE)",
    "SELECT set_config('a.b', 'c', 'on')",
    "SELECT set_config('a.b', %s, true)",
    "SELECT set_config('a.b', 'c,)', true::boolean)",
    "SELECT set_config('a.b', f(1, 2)::text, true /* local */)",
    "SELECT set_config('a.b', 'c', true), set_config('a.c', 'd', true)",
    "SELECT name FROM pg_settings",
    # Words that are not code, or not those words
    "SELECT 'SET a = 1; LISTEN b'",
    "SELECT E'\\'; SET a = 1; '",
    "SELECT 'a''; SET b = 1; '",
    "SELECT $$; SET a = 1; $$",
    "SELECT $a$; SET $$ b; $a$",
    "SELECT 'set_config(1)', 'pg_temp', 'pg_advisory_lock(1)', 'nextval(1)', 'INTO TEMP'",
    "SELECT $$set_config(1), pg_temp.a, pg_advisory_lock(1), nextval(1), INTO TEMP$$",
    'SELECT "set", "listen", "set_config", "nextval", "into temp" FROM "discard"',
    'SELECT 1 AS "; SET a = 1; "',
    'SELECT "a""; SET b = 1; "',
    "SELECT reset, setting, prepared, listens, temp, settings FROM load",
    "SELECT a FROM b WHERE nspname NOT LIKE 'pg_temp%%'",
]


@pytest.mark.parametrize("sql", CHANGING)
def test_changes_the_session(sql: str) -> None:
    assert CHANGES in effect_of(sql)


@pytest.mark.parametrize("sql", HARMLESS)
def test_costs_nothing(sql: str) -> None:
    assert analyse(sql) is NO_EFFECT


LOCAL = [
    ("SELECT set_config('a.b', %s, %s)", ("c", True), ("c", False)),
    ("SELECT set_config('a.b', %s, %s)", ["c", "true"], ["c", None]),
    ("SELECT set_config('a.b', %s, %s::boolean)", ("c", "t"), ("c", "no")),
    ("SELECT set_config('a.b', 'c', %b)", (True,), (0,)),
    ("SELECT '%%', set_config('a.b', 'c', %s), %s", (True, 1), (False, True)),
    ("SELECT '%s', set_config('a.b', 'c', %s)", (1, True), (True, False)),
    ("/* %s */ SELECT set_config('a.b', 'c', %s)", (1, True), (True, False)),
    ("SELECT set_config('a.b', 'c', $2)", (1, True), (True, False)),
    ("SELECT set_config('a.b', 'c', $0)", (1, True), ()),
    ("SELECT set_config('a.b', %(c)s, %(isLocal)s)", {"c": 1, "isLocal": True}, {"c": True}),
    ("SELECT set_config('a.b', %(c)s, %(l)s)", {"c": 1, "l": "on"}, {"c": 1, "l": False}),
    ("SELECT set_config('a', 'c', %s), set_config('b', 'd', %s)", (True, True), (True, False)),
]


@pytest.mark.parametrize(("sql", "local", "for_session"), LOCAL)
def test_parameter_decides_if_it_is_local(sql: str, local: object, for_session: object) -> None:
    if "$0" not in sql:
        assert effect_of(sql, local) is NONE
    for parameters in (for_session, None, iter([True, True, True])):
        assert effect_of(sql, parameters) is CHANGES


@pytest.mark.parametrize(
    ("sql", "effect"),
    [
        ("SELECT nextval('a')", KEEPS | ADVANCES),
        ("SELECT setval('a', 1)", KEEPS | ADVANCES),
        ('SELECT pg_catalog."nextval" (%s)', KEEPS | ADVANCES),
        ("INSERT INTO a VALUES (NEXTVAL('b')) RETURNING id", KEEPS | ADVANCES),
        ("SELECT currval('a')", KEEPS | READS),
        ("SELECT LASTVAL()", KEEPS | READS),
        ("SELECT nextval('a'), currval('a')", KEEPS | READS),
        ("INSERT INTO a DEFAULT VALUES", SOON),
        ("/* */ insert\ninto a values (1)", SOON),
        ("INSERT INTO a (returning_customer) VALUES (1)", SOON),
        ("INSERT INTO a VALUES ('RETURNING')", SOON),
        ("INSERT INTO a VALUES (1); SELECT 1 AS returning", SOON),
        (
            "WITH a AS (INSERT INTO b VALUES (1) RETURNING c) INSERT INTO d SELECT c FROM a",
            SOON,
        ),
        ("EXPLAIN ANALYZE INSERT INTO a VALUES (1)", SOON),
        ("MERGE INTO a USING b ON true WHEN NOT MATCHED THEN INSERT VALUES (1)", SOON),
        ("COPY a (b) FROM STDIN", SOON),
        ("COPY FROM", SOON),
        ("INSERT INTO a (b) VALUES (1) RETURNING id", ADVANCES),
        ("INSERT INTO a (b) VALUES (1) ON CONFLICT (b) DO UPDATE SET c = 1 RETURNING id", ADVANCES),
        ("WITH a AS (INSERT INTO b DEFAULT VALUES RETURNING id) SELECT * FROM a", ADVANCES),
        ("INSERT INTO temp (a) VALUES (1) RETURNING a", ADVANCES),
        (
            "MERGE INTO a USING b ON a.c = b.c WHEN MATCHED THEN UPDATE SET d = 1 RETURNING a.c",
            ADVANCES,
        ),
        ("INSERT INTO a (b) SELECT temp FROM c RETURNING b", ADVANCES),
        ("DO $$ BEGIN PERFORM nextval('a'); END $$", KEEPS | ADVANCES),
    ],
)
def test_sequences(sql: str, effect: Effect) -> None:
    assert effect_of(sql) is effect


@pytest.mark.parametrize(
    "sql",
    [
        "SET statement_timeout = 0",
        "SET LOCAL Statement_Timeout TO '1h'",
        'SET LOCAL "statement_timeout" = 0',
        "SELECT set_config('statement_timeout', '0', true)",
        "SELECT set_config(%s, '0', true)",
        "UPDATE pg_settings SET setting = 0 WHERE name = %s",
    ],
)
def test_statement_timeout_is_noticed(sql: str) -> None:
    assert Effect.SETS_TIMEOUT in effect_of(sql, ["statement_timeout"])


def test_other_settings_leave_the_timeout() -> None:
    for sql in ("SET a.b = 1", "SELECT set_config('a.b', %s, false)"):
        assert effect_of(sql, ["c"]) is CHANGES


# Any text

BLANK = st.sampled_from([" ", "\n", "\t \r\n", "/* SET */", "/* ' /* ; */ \" */", "-- '; SET\n"])
STATEMENTS = [sql for sql in CHANGING + HARMLESS if re.search(r"['\"$/%\u00a0-]", sql) is None]


@given(st.sampled_from(STATEMENTS), st.data())
@settings(max_examples=100, deadline=None)
def test_writing_does_not_matter(sql: str, data: st.DataObject) -> None:
    """Comments, blanks, case and parentheses around a SELECT do not change the effect."""
    words = re.findall(r"\w+|\s+|\W", sql)
    written = "".join(
        data.draw(st.lists(BLANK, min_size=1, max_size=2).map("".join))
        if word.isspace()
        else data.draw(st.sampled_from([word, word.upper(), word.lower()]))
        for word in words
    )
    around = st.lists(BLANK, max_size=2).map("".join)
    written = data.draw(around) + written + data.draw(around)
    if sql.startswith("SELECT") and ";" not in sql:
        written = data.draw(st.sampled_from([written, f"({written})", f"(( {written}))"]))
    assert effect_of(written) == effect_of(sql)


MARKS = ["$$", "$a$", "--", "/*", "*/", "E'", "%s", "%(a)s", *"'\"$(),;%\n\\"]
WORDS = ["SET", "LOCAL", "SELECT", "DO", "BEGIN", "TEMP", "INTO", "set_config(", "nextval(", "true"]
PIECES = st.sampled_from([*MARKS, *WORDS])


@given(st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=3))).map(" ".join)))
@settings(max_examples=100, deadline=None)
def test_any_text_has_an_effect(sql: str) -> None:
    assert isinstance(effect_of(sql, [True]), Effect)


@given(st.text(alphabet="ab ;-/*'\"$\\\n()EeSET="), st.sampled_from([" SET a = 1", " LISTEN a"]))
@settings(max_examples=100, deadline=None)
def test_literals_hide_no_statement(text: str, change: str) -> None:
    quoted = text.replace("'", "''")
    escaped = quoted.replace("\\", "\\\\")
    identifier = text.replace('"', '""')
    for literal in (f"'{quoted}'", f"E'{escaped}'", f"$q${text}$q$", f'"{identifier}"'):
        assert effect_of(f"SELECT {literal}") is NONE
        assert effect_of(f"SELECT {literal};{change}") is CHANGES


@pytest.mark.parametrize(
    ("begin", "repeated", "times"),
    [
        ("INSERT INTO a (b, c) VALUES (1, 2)", ", (%s, %s)", 100_000),
        ("INSERT INTO a (b, c) VALUES (1, 2)", ", ('it''s', 'b;c')", 50_000),
        ('SELECT "a" FROM "b" WHERE "a" IN (0', ", 100001", 110_000),
        ("", "/*", 100_000),
        ("'", "''", 100_000),
        ("", "E'a'", 50_000),
        ("", "$a$$b", 50_000),
        ("SELECT ", "set_config(", 30_000),
        ("SELECT ", "set_config('a', 'b', %s), ", 10_000),
        ("", "CREATE TEMP TABLE ON COMMIT DROP ", 10_000),
    ],
)
def test_megabyte_takes_less_than_a_second(begin: str, repeated: str, times: int) -> None:
    sql = begin + repeated * times

    def seconds() -> float:
        began = time.thread_time()
        analyse(sql)
        return time.thread_time() - began

    assert any(seconds() < 1.0 for _ in range(3))  # one of them while the processor is free
