"""What commands say of a database_url at which there can never be a database."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from preheat.cli import app
from running_service import free_port
from support.forked import run_preheat

SCHEMAS = Path(__file__).parents[1] / "data/schemas"
MADE_OR_READ = "must name a file that is there or can be made, and that may be read"
READ = "must name a file that is there, and that may be read"
OF_POSTGRESQL = "postgresql+psycopg://"
RULES = {
    "folder": "must name a file, and {file} is another thing, such as a folder",
    "device": "must name a file, and {file} is another thing, such as a folder",
    "below a file": MADE_OR_READ + "; {file.parent}: it is no folder",
    "where no folder can be made": MADE_OR_READ + "; /proc/nowhere: No such file or directory",
    "another file": "must name a database of SQLite, and {file} is another file, or damaged",
    "a short file": "must name a database of SQLite, and {file} is another file, or damaged",
}


@pytest.fixture(params=RULES)
def wrong(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """A URL, and what is said of it."""
    file = tmp_path / "preheat.db"
    if request.param == "folder":
        file.mkdir()
    elif request.param == "device":
        file = Path("/dev/null")
    elif request.param == "below a file":
        file.touch()
        file /= "preheat.db"
    elif request.param == "where no folder can be made":
        file = Path("/proc/nowhere/preheat.db")
    else:
        file.write_bytes(b"PK" if request.param == "a short file" else bytes(range(256)) * 64)
    url = f"sqlite:///{file}"
    return url, f"database_url ({url}) {RULES[request.param]}".format(file=file)


@pytest.mark.parametrize("command", [("keys", "make", "a"), ("store", "restore", __file__, "--replace")])
def test_a_command_names_the_setting_the_value_and_the_rule(wrong: tuple[str, str], command: tuple[str, ...]) -> None:
    """Exit code 2, one line."""
    url, rule = wrong
    run = CliRunner().invoke(app, [*command, *_SCOPES.get(command[1], ())], env={"PREHEAT_DATABASE_URL": url})
    assert (run.exit_code, run.stderr.count("\n")) == (2, 1)
    assert rule in run.stderr


_SCOPES = {"make": ("--scopes", "read")}


@pytest.mark.parametrize(
    "command",
    [
        ("store", "check"),
        ("store", "backup", "copy.db"),
        ("keys", "list"),
        ("keys", "rotate", "a"),
        ("keys", "revoke", "a"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("place", "rule"),
    [
        ("none.db", READ + "; {file}: No such file or directory"),
        ("no folder/none.db", READ + "; {file}: No such file or directory"),
        ("a file/none.db", READ + "; {file}: Not a directory"),
        ("empty.db", "must name a database that is there, and {file} is empty"),
        ("folder", "must name a file, and {file} is another thing, such as a folder"),
        ("a file", "must name a database of SQLite, and {file} is another file, or damaged"),
    ],
)
def test_what_looks_at_a_database_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], place: str, rule: str
) -> None:
    """A mistyped path ends a command, such as a nightly check, with exit code 2, and leaves everything as it was."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "a file").write_text("PK")
    (tmp_path / "empty.db").touch()
    before = sorted((each, each.stat().st_size) for each in tmp_path.rglob("*"))
    file = tmp_path / place
    run = CliRunner().invoke(app, command, env={"PREHEAT_DATABASE_URL": f"sqlite:///{file}"})
    assert (run.exit_code, run.stdout, run.stderr.count("\n")) == (2, "", 1)
    assert f"database_url (sqlite:///{file}) {rule}".format(file=file) in run.stderr
    assert sorted((each, each.stat().st_size) for each in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", [("store", "check"), ("keys", "list"), ("keys", "revoke", "a")], ids=" ".join)
def test_what_looks_at_an_older_database_leaves_it_as_it_is(tmp_path: Path, command: tuple[str, ...]) -> None:
    """A service of the version before may still use it: the command says who brings it forward."""
    file = tmp_path / "preheat.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((SCHEMAS / "0004.sqlite.sql").read_text(encoding="utf-8"))
        before = list(connection.iterdump())
        run = CliRunner().invoke(app, command, env={"PREHEAT_DATABASE_URL": f"sqlite:///{file}"})
        assert (run.exit_code, run.stdout, run.stderr.count("\n")) == (1, "", 1)
        assert "in form 0004: start the service, which brings them forward" in run.stderr
        assert list(connection.iterdump()) == before


def test_an_older_database_is_backed_up_as_it_is(tmp_path: Path) -> None:
    """Before an upgrade, by the version that comes after it."""
    file, copy = tmp_path / "preheat.db", tmp_path / "copy.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((SCHEMAS / "0004.sqlite.sql").read_text(encoding="utf-8"))
        before = list(connection.iterdump())
        environment = {"PREHEAT_DATABASE_URL": f"sqlite:///{file}"}
        assert CliRunner().invoke(app, ["store", "backup", str(copy)], env=environment).exit_code == 0
        assert list(connection.iterdump()) == before
    with closing(sqlite3.connect(copy)) as connection:
        assert list(connection.iterdump()) == before


@pytest.mark.parametrize(
    "command", [("store", "check"), ("store", "backup", "copy.db"), ("keys", "list")], ids=" ".join
)
def test_a_database_of_somebody_else_gets_no_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """Nor is a backup of it one of Preheat."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE mine (a)")
        run = CliRunner().invoke(app, command, env={"PREHEAT_DATABASE_URL": f"sqlite:///{file}"})
        assert (run.exit_code, run.stdout) == (1, "")
        assert "it has no tables of Preheat" in run.stderr
        assert list(connection.execute("SELECT name FROM sqlite_master")) == [("mine",)]
    assert not Path("copy.db").exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "postgres://u:secret@h/n",
            "database_url (postgres://u:***@h/n) must begin with sqlite:/// or " + OF_POSTGRESQL,
        ),
        ("postgresql://u:secret@h/n", f"database_url must begin with {OF_POSTGRESQL}, not with postgresql://"),
        ("preheat.db", "database_url must be a URL that begins with sqlite:/// or " + OF_POSTGRESQL),
        ("", "database_url must not be empty: it must begin with sqlite:/// or " + OF_POSTGRESQL),
    ],
)
def test_a_url_of_no_kind_is_told_the_right_form(url: str, message: str) -> None:
    """What it says to write is taken."""
    run = CliRunner().invoke(app, ["store", "check"], env={"PREHEAT_DATABASE_URL": url})
    assert (run.exit_code, run.stderr) == (2, f"error: {message}\n")


def test_a_database_that_is_away_is_told_once() -> None:
    """In the line that the command ends with, and in no line of a log."""
    url = f"postgresql+psycopg://u:secret@127.0.0.1:{free_port()}/n"
    run = run_preheat("keys", "list", PREHEAT_DATABASE_URL=url)
    assert (run.returncode, run.stdout, run.stderr.count("is not available")) == (1, "", 1)
    assert run.stderr.startswith("error: the schedule database is not available: ")


@pytest.mark.parametrize("wrong", ["folder", "another file"], indirect=True)
def test_a_service_does_not_start(wrong: tuple[str, str]) -> None:
    """It says so before it listens."""
    url, rule = wrong
    run = run_preheat("serve", "--port", str(free_port()), "--database-url", url)
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)
    assert rule in run.stderr


@pytest.mark.parametrize("content", ["none", "empty", "database"])
def test_what_is_or_can_be_a_database_is_taken(tmp_path: Path, content: str) -> None:
    """In a folder that is made, an empty file, and a database without any table."""
    file = tmp_path / "a" / "b" / "preheat.db"
    if content != "none":
        file.parent.mkdir(parents=True)
        file.touch()
    if content == "database":
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA user_version = 1")
        assert file.stat().st_size > 0
    environment = {"PREHEAT_DATABASE_URL": f"sqlite:///{file}"}
    assert CliRunner().invoke(app, ["keys", "make", "a", "--scopes", "read"], env=environment).exit_code == 0
    run = CliRunner().invoke(app, ["store", "check"], env=environment)
    assert run.exit_code == 0
    assert "0 schedules" in run.stdout


def test_what_may_pass_by_itself_is_no_reason_to_refuse_the_url(tmp_path: Path) -> None:
    """A process that may open no more files looks at a database that is there: it is away, and not wrong."""
    file = tmp_path / "preheat.db"
    file.touch()
    script = (
        "import os, resource, sys; from preheat.store import Database; database = Database(sys.argv[1], 1);"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0), 1024)); database.check_place();"
        "print('taken')"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, f"sqlite:///{file}"], capture_output=True, text=True, check=False, timeout=120
    )
    assert (run.stdout, run.stderr) == ("taken\n", "")
