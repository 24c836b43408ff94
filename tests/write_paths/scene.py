"""What a path is, and the scene that it writes to: one subject on trial, and a few that stand by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field, fields
from datetime import timedelta
from types import ModuleType
from typing import Any, Literal

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

Move = tuple[str, str]
"""Source and sink: statuses, or "" for outside."""
Database = Literal["sqlite", "postgresql", "mariadb"]
DATABASES: tuple[Database, ...] = ("sqlite", "postgresql", "mariadb")

Role = Literal["subject", "kept", "coded", "identified", "customer", "article", "dated"]

TRIAL_ACTIVE: Move = ("trial", "active")
ARRIVES: Move = ("", "trial")
LEAVES: Move = ("trial", "")
STATUSES = ("trial", "active", "paused", "churned")
"""Those that a stock stands for; any other, such as "lost", is outside."""


@dataclass(frozen=True)
class Cast:
    """The models to write to; each role has at least the fields of its namesake in ``tests.write_paths.models``.

    A role left None leaves out the paths that need it.
    """

    subject: type[models.Model]
    plan: type[models.Model]
    owner: type[models.Model]
    child: type[models.Model] | None = None
    proxy: type[models.Model] | None = None
    kept: type[models.Model] | None = None
    keeper: type[models.Model] | None = None
    coded: type[models.Model] | None = None
    identified: type[models.Model] | None = None
    customer: type[models.Model] | None = None
    article: type[models.Model] | None = None
    label: type[models.Model] | None = None
    dated: type[models.Model] | None = None

    @classmethod
    def of(cls, module: ModuleType) -> Cast:
        """The cast that a module of models holds, each role played by the model of its name; None for no such model."""
        found: dict[str, Any] = {
            role.name: getattr(module, role.name.capitalize(), None) for role in fields(cls)
        }
        return cls(**found)


@dataclass(frozen=True)
class Gap:
    """Moves that the capture can't see when they happen, and why; ``sees`` are those that it sees nevertheless.

    The others are what a sweep finds afterwards.
    """

    why: str
    sees: tuple[Move, ...] = ()


@dataclass(frozen=True)
class WritePath:
    """One way to write. ``moves`` are all that it must make, in no order; ``does`` says in a line what it is.

    ``absent`` says why there is no such thing, by database; ``gaps`` what can't be captured there. ``role`` is the
    model whose moves are meant, ``elsewhere`` that they happen in the scene's other database.
    """

    name: str
    group: str
    does: str
    write: Callable[[Scene], object]
    moves: tuple[Move, ...]
    role: Role
    absent: Mapping[Database, str] = field(default_factory=dict)
    gaps: Mapping[Database, Gap] = field(default_factory=dict)
    elsewhere: bool = False

    def sees(self, database: Database) -> tuple[Move, ...]:
        """The moves that the capture must see at once on that database."""
        return self.gaps[database].sees if database in self.gaps else self.moves


@dataclass
class Scene:
    """A subject that is saved and on trial, and what a path may use besides.

    ``other`` is the alias of a second database with the same tables. ``refusing`` makes the capture's store refuse
    every row inside, so that no write can be captured.
    """

    cast: Cast
    subject: Any
    other: str = ""
    refusing: Callable[[], AbstractContextManager[Any]] = nullcontext
    using: str = "default"

    @property
    def model(self) -> Any:
        """The subject's class."""
        return type(self.subject)

    @property
    def objects(self) -> models.QuerySet[Any]:
        """All of its rows."""
        found: models.QuerySet[Any] = self.model._base_manager.all()
        return found

    @property
    def table(self) -> str:
        """Its table's name, quoted."""
        return quoted(self.model)

    @property
    def connection(self) -> BaseDatabaseWrapper:
        """Django's connection."""
        return connections[self.using]

    def new(self, **fields: Any) -> Any:
        """Another one, unsaved."""
        return self.model(name="Bob", **fields)

    def execute(self, sql: str, *params: Any) -> None:
        """Run SQL on Django's connection; without params no % is read."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params or None)

    @contextmanager
    def client(self, **options: Any) -> Iterator[Any]:
        """A connection of the database's own library, which knows nothing of Django; it begins transactions itself."""
        with closing(_client(self.connection, options)) as client:
            yield client

    def by_client(self, sql: str, **options: Any) -> None:
        """Run one statement by such a client, and commit."""
        with self.client(**options) as client, closing(client.cursor()) as cursor:
            cursor.execute(sql)
            client.commit()


def _client(connection: BaseDatabaseWrapper, options: dict[str, Any]) -> Any:
    given: Any = connection.get_connection_params()
    if connection.vendor == "sqlite":
        import sqlite3

        return sqlite3.connect(given["database"], timeout=30, **options)
    if connection.vendor == "postgresql":
        import psycopg

        names = ("dbname", "user", "password", "host", "port")
        return psycopg.connect(**{key: given[key] for key in names if given.get(key)}, **options)
    import MySQLdb

    names = ("user", "password", "host", "port", "database")
    return MySQLdb.connect(**{key: given[key] for key in names if given.get(key)}, **options)


def quoted(model: Any) -> str:
    """The model's table as SQL of every database reads it; no name here needs more than letters."""
    name: str = model._meta.db_table
    return name


def make(cast: Cast, role: Role, **rest: Any) -> Scene:
    """A scene for a path of that role: its subject is saved and on trial, in the default database."""
    with transaction.atomic():
        free = cast.plan._base_manager.create(name="Free", paid=False)
        if role in ("subject", "kept"):
            fields: dict[str, Any] = {"name": "Ada", "status": "trial"}
        elif role == "coded":
            fields = {"code": "ada", "status": "trial"}
        elif role == "identified":
            fields = {"status": "trial"}
        elif role == "dated":
            fields = {"name": "Ada", "until": timezone.now() + timedelta(days=1)}
        elif role == "customer":
            fields = {"name": "Ada", "plan": free}
        else:
            fields = {"name": "Ada"}
        if role == "subject":
            fields |= {"plan": free, "owner": cast.owner._base_manager.create(name="Ann")}
        elif role == "kept" and cast.keeper is not None:
            fields |= {"keeper": cast.keeper._base_manager.create(name="Ann")}
        model: Any = getattr(cast, role)
        return Scene(cast=cast, subject=model._base_manager.create(**fields), **rest)
