"""The table of turns, and the statements on it. Every one is a single statement and looks rows up by primary key."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    Double,
    Executable,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    any_,
    bindparam,
    delete,
    func,
    inspect,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

_INSERTS: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
DIALECTS = {"postgresql": "READ COMMITTED", "sqlite": "SERIALIZABLE"}
"""What can be used, and how several statements are isolated there (SQLite has nothing weaker)."""
_SETUP_LOCK = 0x7475726E
"""Key of the advisory lock under which PostgreSQL's table is made: IF NOT EXISTS alone is no protection there."""


class Statements:
    """The table `name` and what is done with it."""

    def __init__(self, name: str, dialect: str) -> None:
        self._postgres = dialect == "postgresql"
        # byte order instead of a language's: cheaper to compare
        text = Text().with_variant(Text(collation="C"), "postgresql")
        self._table = Table(
            name,
            MetaData(),
            Column("key", text, primary_key=True),
            Column("value", LargeBinary, nullable=False),
            Column("expires", Double, nullable=False),
        )
        self._index = Index(f"{name}_expires", self._table.c.expires)
        self.read = self._read()
        self.write = self._write(_INSERTS[dialect])
        self.write_new = self._write(_INSERTS[dialect], where=self._table.c.expires <= bindparam("now"))
        self.touch = self._touch()
        self.replace = self._replace()
        self.erase = self._erase()
        self.sweep = self._sweep()

    def set_up(self, connection: Connection) -> None:
        """Makes the table and its index if they are missing; several processes may do so at once."""
        if inspect(connection).has_index(self._table.name, str(self._index.name)):
            return
        if self._postgres:
            connection.execute(select(func.pg_advisory_xact_lock(_SETUP_LOCK)))
        connection.execute(CreateTable(self._table, if_not_exists=True))
        connection.execute(CreateIndex(self._index, if_not_exists=True))

    def _read(self) -> Executable:
        row = self._table.c
        return select(row.key, row.value).where(self._wanted(), self._alive())

    def _write(self, insert: Any, where: Any = None) -> Executable:
        row = insert(self._table).values(key=bindparam("one"), value=bindparam("new"), expires=bindparam("until"))
        new = {"value": row.excluded.value, "expires": row.excluded.expires}
        return row.on_conflict_do_update(index_elements=[self._table.c.key], set_=new, where=where).execution_options(
            preserve_rowcount=True
        )

    def _touch(self) -> Executable:
        row = self._table.c
        moves = func.abs(row.expires - bindparam("until")) > bindparam("slack")
        rows = self._locked().where(self._alive(), moves)
        return update(self._table).where(row.key.in_(rows)).values(expires=bindparam("until"))

    def _replace(self) -> Executable:
        row = self._table.c
        found = (row.key == bindparam("one"), row.value == bindparam("old"), self._alive())
        return update(self._table).where(*found).values(value=bindparam("new"), expires=bindparam("until"))

    def _erase(self) -> Executable:
        return delete(self._table).where(self._table.c.key.in_(self._locked()))

    def _sweep(self) -> Executable:
        row = self._table.c
        over = select(row.key).where(row.expires <= bindparam("now")).order_by(row.expires).limit(bindparam("most"))
        return delete(self._table).where(row.key.in_(over.with_for_update(skip_locked=True)))

    def _locked(self) -> Any:
        """The rows of some keys, locked in one order, so that two processes cannot wait for each other for ever."""
        key = self._table.c.key
        return select(key).where(self._wanted()).order_by(key).with_for_update()

    def _wanted(self) -> ColumnElement[bool]:
        """That a row has one of the keys: one array, so that PostgreSQL keeps one plan for any number of them."""
        key = self._table.c.key
        if self._postgres:
            return key == any_(bindparam("keys", type_=ARRAY(Text)))
        return key.in_(bindparam("keys", expanding=True))

    def _alive(self) -> ColumnElement[bool]:
        """That a row has not expired. Of a sum there is no index: no planner is to find rows by anything but key."""
        return self._table.c.expires + 0.0 > bindparam("now")
