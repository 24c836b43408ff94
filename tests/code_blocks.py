"""Runs the code blocks of a page in Markdown, in order, and compares what they print with the page.

How a page is written
---------------------
A comment on the line above a block's fence says what the block is; without one, its language does:

- ``<!-- file: shop/models.py -->``: the block is that file of the reader's project, whatever its language.
- ``<!-- append: config/settings.py -->``: the block is added at the end of that file.
- ``<!-- prints -->``: the block is what the command or the Python above it prints.
- ``<!-- at: clone -->``: the commands are run in a clone of this repository, with ``SERVE=0``, since a server
  would never end. ``make test`` is not run but only planned (``make -n``): it is what runs this page.
- ``python``: run in the project after ``django.setup()``, each block in a process of its own. A block that
  starts with ``>>>`` shows its output between its lines, as in a doctest.
- ``console``: each line after ``$ `` is a command, run in the project by bash; it continues after a
  backslash. The lines below it are what it prints; a command with no lines below it must only succeed.
- ``sh``, ``bash``: a script, run in the project, that must succeed.

A block that is none of these is refused, so that none is shown without being run. In an output ``...`` stands
for anything; a date (``25 Oct 2026``, also without the year or with a time of day), an ISO date, a time of day
(``14:30``) and a duration (``0.05 s``) stand for any of their kind; and blanks at the ends of lines don't count.
In the first hour of a day in UTC a daily entry of the schedule may be due or not.

The reader's project has ``manage.py``, ``config/settings.py``, ``config/urls.py`` and an app ``shop``, as
``startproject`` and ``startapp`` leave them, and a database in a file of SQLite. The shop is in
``INSTALLED_APPS``, ``stockandflow`` is not yet: a page has to say how. A reader who begins with nothing has an
empty folder instead. A reader with a Python environment of their own has Django there and nothing else; a clone of
this repository can be installed from ``../django-stockandflow``.
"""

import doctest
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 600
FENCE = re.compile(
    r"^(?P<indent>[ ]*)(?P<fence>```+)(?P<language>[\w+-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
DIRECTIVE = re.compile(r"<!--\s*(?P<word>file|append|prints|at)\s*:?\s*(?P<value>[^\s>]*)\s*-->\s*\Z")
MONTH = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
TIME = r"\d\d:\d\d(?::\d\d)?"
TIMES = re.compile(
    rf"\b(?:\d{{1,2}} (?:{MONTH})(?: \d{{4}})?(?:, {TIME})?|\d{{4}}-\d\d-\d\d|{TIME}|\d+\.\d\d s)\b"
)
DAILY = re.compile(r"^(?:not )?due(?= +\S+ +daily)|\b(?:since|next)(?= <time>)", re.MULTILINE)
"""Whether an entry is due that ran by the hour until now: not in the first hour of a day, which begins with the day."""
NOT_CLONED = (
    ".git",
    ".venv*",
    ".*_cache",
    ".hypothesis",
    "__pycache__",
    "_build",
    "build",
    "dist",
    "*.sqlite3*",
)

DOCTEST_RUNNER = """
import doctest, pathlib, sys
test = doctest.DocTestParser().get_doctest(pathlib.Path(sys.argv[1]).read_text(), {}, "page", sys.argv[1], 0)
flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
sys.exit(bool(doctest.DocTestRunner(optionflags=flags).run(test).failed))
"""
SETUP = "import django\ndjango.setup()\n"


class PageError(AssertionError):
    """A block of a page can't be run, fails, or prints something else than the page shows."""


@dataclass(frozen=True)
class Block:
    """One fenced block: where its fence is (counted from 1), what it is, and its text."""

    line: int
    language: str
    text: str
    directive: str = ""
    value: str = ""


@dataclass
class Reader:
    """Someone who follows a page from top to bottom, in folders of their own under ``folder``.

    ``python`` is the interpreter of the environment that the reader works in. ``begun`` is whether the project is
    there already when the page begins.
    """

    folder: Path
    page: str
    python: Path = Path(sys.executable)
    begun: bool = True
    printed: str = field(default="", init=False)

    @property
    def project(self) -> Path:
        """The reader's Django project, or the empty folder for it; made on first use."""
        folder = self.folder / "project"
        if not folder.exists():
            folder.mkdir(parents=True)
        if self.begun and not (folder / "manage.py").exists():
            self.execute(["django-admin", "startproject", "config", "."], folder, 0)
            self.execute(["python", "manage.py", "startapp", "shop"], folder, 0)
            settings = folder / "config" / "settings.py"
            settings.write_text(settings.read_text() + '\nINSTALLED_APPS += ["shop"]\n')
        return folder

    @property
    def clone(self) -> Path:
        """A copy of this repository as it stands, without what was built in it; made on first use."""
        folder = self.folder / "django-stockandflow"
        if not folder.exists():
            shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_CLONED))
        return folder

    def execute(self, command: list[str], folder: Path, line: int) -> str:
        """Run one command; what it printed on both outputs. Raises PageError when it fails."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("STOCKANDFLOW_", "PYTEST_", "MAKE", "MFLAGS")) and name != "PYTHONPATH"
        }
        environment |= {
            "COLUMNS": "100",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTHON": sys.executable,
            "SERVE": "0",
        }
        if folder != self.folder / "project" or "startproject" in command:
            del environment["DJANGO_SETTINGS_MODULE"]
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            shown = " ".join(command)
            raise PageError(f"{self.page}:{line}: {shown!r} exited with {done.returncode}:\n{done.stdout}")
        self.printed = done.stdout
        return done.stdout

    def follow(self, block: Block) -> None:
        """Do what one block says. Raises PageError when it can't be done or prints something else."""
        if block.directive in ("file", "append"):
            self.write(block)
        elif block.directive == "prints":
            self.compare(block.text, self.printed, block.line)
        elif block.language == "python":
            self.run_python(block)
        elif block.language == "console":
            self.run_console(block)
        elif block.language in ("sh", "bash"):
            self.execute(["bash", "-euc", planned(block, block.text)], self.place_of(block), block.line)
        else:
            raise PageError(
                f"{self.page}:{block.line}: a block of {block.language or 'no language'!r} is not run by "
                "anything; mark it as python, console or sh, or write <!-- prints --> or <!-- file: NAME --> "
                "above it."
            )

    def place_of(self, block: Block) -> Path:
        """The folder in which the block's commands are run."""
        if block.directive == "at" and block.value != "clone":
            raise PageError(f"{self.page}:{block.line}: 'at: {block.value}' is unknown, write 'at: clone'.")
        return self.clone if block.directive == "at" else self.project

    def write(self, block: Block) -> None:
        """Write or lengthen a file of the project."""
        path = self.project / block.value
        before = path.read_text() + "\n" if block.directive == "append" else ""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(before + block.text)

    def run_python(self, block: Block) -> None:
        """Run a block of Python in the project, as a doctest when it looks like one."""
        if block.text.lstrip().startswith(">>>"):
            path = self.folder / "block.txt"
            path.write_text(block.text)
            code = ["-c", SETUP + DOCTEST_RUNNER, str(path)]
        else:
            code = ["-c", SETUP + block.text]
        self.execute(["python", *code], self.place_of(block), block.line)

    def run_console(self, block: Block) -> None:
        """Run each command of the block and compare what it prints with the lines below it."""
        for offset, command, expected in commands_of(block):
            line = block.line + offset
            script = planned(block, command)
            printed = self.execute(["bash", "-euc", script], self.place_of(block), line)
            if expected.strip():
                self.compare(expected, printed, line)

    def compare(self, expected: str, printed: str, line: int) -> None:
        """Raise PageError unless what was printed is what the page shows."""
        want, got = (
            TIMES.sub("<time>", "\n".join(row.rstrip() for row in text.strip("\n").split("\n")) + "\n")
            for text in (expected, printed)
        )
        if (datetime.now(UTC) - timedelta(minutes=TIMEOUT_S // 60)).hour == 0 or datetime.now(UTC).hour == 0:
            want, got = (re.sub(" +", " ", DAILY.sub("<daily>", text)) for text in (want, got))
        checker = doctest.OutputChecker()
        if not checker.check_output(want, got, doctest.ELLIPSIS):
            flags = doctest.REPORT_UDIFF | doctest.ELLIPSIS
            difference = checker.output_difference(doctest.Example("", want), got, flags)
            raise PageError(
                f"{self.page}:{line}: the page shows something else than what is printed.\n{difference}"
            )


def planned(block: Block, script: str) -> str:
    """The script with ``make test`` turned into its plan, where it would run this page within itself."""
    if block.directive != "at":
        return script
    return re.sub(r"^make (?=.*\btest\b)", "make -n ", script, flags=re.MULTILINE)


def commands_of(block: Block) -> Iterator[tuple[int, str, str]]:
    """For each command of a console block: its line within the block (from 1), the command, its output."""
    command, expected, start = "", "", 0
    for number, row in enumerate(block.text.splitlines(), start=1):
        if command.endswith("\\") and not expected:
            command += f"\n{row}"
        elif row.startswith("$ "):
            if command:
                yield start, command, expected
            command, expected, start = row[2:], "", number
        elif not command:
            raise PageError(
                f"line {block.line}: a console block starts with a command after '$ ', not {row!r}."
            )
        else:
            expected += f"{row}\n"
    if command:
        yield start, command, expected


def blocks_of(markdown: str) -> list[Block]:
    """The fenced blocks of a page, from top to bottom."""
    blocks = []
    for match in FENCE.finditer(markdown):
        directive = DIRECTIVE.search(markdown[: match.start()])
        indent = match["indent"]
        text = "".join(row.removeprefix(indent) for row in match["text"].splitlines(keepends=True))
        blocks.append(
            Block(
                line=markdown.count("\n", 0, match.start()) + 1,
                language=match["language"],
                text=text,
                directive=directive["word"] if directive else "",
                value=directive["value"] if directive else "",
            )
        )
    return blocks


def own_environment(folder: Path) -> Path:
    """The interpreter of a new environment that holds the Django of these tests and nothing else."""
    python = folder / "environment" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
    subprocess.run([python, "-m", "pip", "-qq", "install", f"Django=={django.__version__}"], check=True)
    return python


def follow_page(markdown: str, reader: Reader) -> int:
    """Follow every block of a page as its reader would; how many. Raises PageError at the first wrong one."""
    blocks = blocks_of(markdown)
    for block in blocks:
        reader.follow(block)
    return len(blocks)
