"""Rows to dataclasses and back, and the queries that every kind of object needs.

JSON columns are read as text and decoded once, into the type of the dataclass's field.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, get_type_hints
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from jeroboam.domain.errors import Conflict, Invalid, NotFound
from jeroboam.kit.ids import is_uuid
from jeroboam.store.broken import BrokenRow, BrokenRows
from jeroboam.store.selectors import S
from jeroboam.store.tables import UnreadableValue, UtcDateTime

T = TypeVar("T")


class QueryExecutor(Protocol):
    """The part of a database connection that the queries here need."""

    @property
    def dialect(self) -> sa.Dialect: ...

    async def execute(self, statement: sa.Executable, /) -> sa.CursorResult[Any]: ...


class QueryConnection(QueryExecutor, Protocol):
    """A connection with the state of the transaction on it."""

    @property
    def broken(self) -> BrokenRows:
        """The rows that cannot be read."""
        ...

    @property
    def strict(self) -> bool:
        """Whether a row that cannot be read is an error, instead of being left out."""
        ...


def insert_of(connection: QueryExecutor) -> Callable[[sa.Table], postgresql.Insert | sqlite.Insert]:
    """Return an INSERT with ON CONFLICT, which both engines have and standard SQL has not."""
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert


def encode_json(value: Any) -> str:
    """Return the text of a JSON column."""
    return msgspec.json.encode(value).decode()


class readable(FunctionElement[Any]):  # noqa: N801  (SQLAlchemy's functions are classes, named as functions)
    """A JSON column whose parts are queried: NULL if it holds no JSON, which SQLite would take for an error."""

    type = sa.JSON()
    name = "readable"
    inherit_cache = True


@compiles(readable)
def _compile_readable(element: readable, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(readable, "sqlite")
def _compile_readable_sqlite(element: readable, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.clauses, **options)
    return f"CASE WHEN json_valid({column}) THEN {column} END"


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One page of a list. `marker` is a uuid; `sort_key` a field of the public object."""

    limit: int | None = None
    marker: str | None = None
    sort_key: str = "id"
    descending: bool = False


class Rows(Generic[T, S]):
    """The objects of one table, within one transaction."""

    def __init__(self, connection: QueryConnection, kind: "RowKind[T, S]", *, for_update: bool) -> None:
        self._connection = connection
        self._kind = kind
        self._for_update = for_update

    async def get(self, uuid: str) -> T | None:
        """Return the object; in a writing transaction its row is locked until the end.

        Raises `BrokenRow` for a row that exists and cannot be read.
        """
        table = self._kind.table
        objects = await self.where(table.c.uuid == uuid, strict=True)
        return objects[0] if objects else None

    async def uuids(self, selector: S | None = None) -> list[str]:
        """Return the uuids of the selected rows, also of those that cannot be read."""
        query = sa.select(self._kind.table.c.uuid).where(self._kind.only, *self.build_conditions(selector))
        return [row[0] for row in (await self._connection.execute(query)).all()]

    async def where(
        self, *conditions: sa.ColumnElement[bool], limit: int | None = None, strict: bool = False
    ) -> list[T]:
        """Return all objects that meet all conditions, in order of arrival; unreadable ones are left out.

        With `strict`, or in a strict transaction, an unreadable one raises `BrokenRow`.
        """
        query = self._kind.select.where(*conditions).order_by(self._kind.table.c.id)
        if limit is not None:
            query = query.limit(limit)
        if self._for_update:
            query = query.with_for_update()
        result = await self._connection.execute(query)
        return self._load(self._kind, result.all(), strict=strict)

    def _load(self, kind: "RowKind[T, S]", rows: Sequence[sa.Row[Any]], *, strict: bool = False) -> list[T]:
        broken, strict = self._connection.broken, strict or self._connection.strict
        objects = []
        for row in rows:
            try:
                objects.append(kind.load(row))
            except (ValueError, TypeError) as error:
                key = kind.key(row)
                broken.add(kind.table.name, key, error)
                if strict:
                    raise BrokenRow(kind.table.name, key) from error
            else:
                if broken and kind.is_whole:
                    broken.mark_repaired(kind.table.name, kind.key(row))
        return objects

    async def page(
        self, page: Page, *conditions: sa.ColumnElement[bool], extra_conditions: Sequence[sa.ColumnElement[bool]] = ()
    ) -> list[T]:
        """Return a page of the objects that meet all conditions and the extra conditions of the user's filter.

        Raises `Invalid` for a sort key that is no field and `NotFound` for a marker that does not meet the conditions.
        The marker need not meet the extra conditions: it may have changed since it was shown.
        """
        kind = self._kind
        key = kind.sort_column(page.sort_key)
        query = kind.select.where(*conditions, *extra_conditions)
        if page.marker is not None:
            query = query.where(await self._build_marker_condition(page, key, conditions))
        order = sa.desc if page.descending else sa.asc
        if key is not kind.table.c.id:
            query = query.order_by(order(key.is_(None)), order(key))
        query = query.order_by(order(kind.table.c.id))
        return await self._fill(query, page.limit)

    async def _fill(self, query: sa.Select[Any], limit: int | None) -> list[T]:
        """Return so many objects of the query: a page that is not full means that the list ends."""
        left_out = 0
        while True:
            row_limit = None if limit is None else limit + left_out
            rows = (await self._connection.execute(query if row_limit is None else query.limit(row_limit))).all()
            objects = self._load(self._kind, rows)
            left_out = len(rows) - len(objects)
            if limit is None or len(objects) >= limit or len(rows) < (row_limit or 0):
                return objects[:limit]

    async def _build_marker_condition(
        self, page: Page, key: sa.ColumnElement[Any], conditions: Sequence[sa.ColumnElement[bool]]
    ) -> sa.ColumnElement[bool]:
        """Return the condition for the rows after the marker."""
        table = self._kind.table
        query = sa.select(key, table.c.id).where(table.c.uuid == page.marker, *conditions)
        marker_row = (await self._connection.execute(query)).first()
        if marker_row is None:
            raise NotFound(f"The marker {page.marker} could not be found.", field="marker")
        value, row_id = marker_row
        is_later_row = table.c.id < row_id if page.descending else table.c.id > row_id
        if value is None:
            same_value = sa.and_(key.is_(None), is_later_row)
            return sa.or_(key.is_not(None), same_value) if page.descending else same_value
        # A parameter of the column's type: SQLAlchemy orders nothing by a plain True.
        mark = sa.literal(value, key.type)
        is_later_value = key < mark if page.descending else sa.or_(key > mark, key.is_(None))
        return sa.or_(is_later_value, sa.and_(key == mark, is_later_row))

    async def count(self, selector: S | None = None) -> int:
        """Return the number of selected rows."""
        return await self.count_where(*self.build_conditions(selector))

    async def count_where(self, *conditions: sa.ColumnElement[bool]) -> int:
        """Return the number of rows that meet all conditions."""
        query = sa.select(sa.func.count()).select_from(self._kind.table).where(*conditions)
        return int((await self._connection.execute(query)).scalar_one())

    async def select(self, selector: S | None = None, *, page: Page | None = None) -> list[T]:
        """Return the selected objects, as a page or all of them."""
        conditions = self.build_conditions(selector)
        return await self.where(*conditions) if page is None else await self.page(page, *conditions)

    async def find(self, ident: str, selector: S | None = None) -> list[T]:
        """Return the selected objects that a user may mean: by uuid if the text is one, else by name.

        Raises `BrokenRow` if there are some and none of them can be read.
        """
        columns = self._kind.sortable
        is_meant = columns["uuid"] == str(UUID(ident)) if is_uuid(ident) else columns["name"] == ident
        conditions = [*self.build_conditions(selector), is_meant]
        objects = await self.where(*conditions)
        if not objects and self._connection.broken:
            return await self.where(*conditions, strict=True)
        return objects

    def build_conditions(self, selector: S | None) -> list[sa.ColumnElement[bool]]:
        """Return the conditions for the selected rows; none for None."""
        conditions: list[sa.ColumnElement[bool]] = []
        for name, value in (selector or {}).items():
            column = self._kind.sortable[name]
            conditions.append(column.in_(value) if isinstance(value, list | tuple) else column == value)
        return conditions

    async def insert(self, item: T) -> None:
        """Add the object. Raises `Conflict` if it exists already."""
        try:
            await self._connection.execute(self._kind.table.insert().values(**self._kind.dump(item)))
        except sa.exc.IntegrityError as error:
            raise Conflict(f"A {self._kind.table.name} with the same identity already exists.") from error

    async def update(self, item: T) -> None:
        """Write the object over the one with its uuid."""
        table, values = self._kind.table, self._kind.dump(item)
        await self._connection.execute(table.update().where(table.c.uuid == values["uuid"]).values(**values))

    async def remove(self, selector: S | None = None) -> int:
        """Delete the selected rows. Return how many there were."""
        result = await self._connection.execute(self._kind.table.delete().where(*self.build_conditions(selector)))
        return int(result.rowcount)


class RowKind(Generic[T, S]):
    """How one dataclass, or one brief of it, lies in one table.

    `computed_columns` are fields that are expressions and not columns of the table; they are only read.
    `derived_columns` are columns that are not fields: they repeat a nested value of the object for queries, and are
    only written. Where a table holds several kinds of object, `only` selects the rows of this kind. `key` is the column
    that identifies a row. A kind with `is_whole` False leaves out columns that another kind of the table reads.
    """

    def __init__(
        self,
        table: sa.Table,
        object_type: type[T],
        selector_type: type[S],
        *,
        sortable: Mapping[str, sa.ColumnElement[Any]] | None = None,
        computed_columns: Mapping[str, sa.ColumnElement[Any]] | None = None,
        derived_columns: Mapping[str, Callable[[T], Any]] | None = None,
        only: sa.ColumnElement[bool] | None = None,
        key: str = "uuid",
        is_whole: bool = True,
    ) -> None:
        self.table = table
        self.is_whole = is_whole
        self.object_type = object_type
        hints = get_type_hints(object_type)
        self._names = list(hints)
        self._positional = issubclass(object_type, msgspec.Struct)
        self._derived_columns = derived_columns or {}
        self.only: sa.ColumnElement[bool] = sa.true() if only is None else only
        expressions = computed_columns or {}
        columns = [expressions[name] if name in expressions else table.c[name] for name in hints]
        self.key_column: sa.ColumnElement[Any] = table.c[key]
        # The key comes after the columns of the fields, unless it is one of them.
        self._key = self._names.index(key) if key in self._names else len(columns)
        select_columns = columns if key in self._names else [*columns, self.key_column]
        self.select = sa.select(*select_columns) if only is None else sa.select(*select_columns).where(only)
        self._decoders: list[Callable[[Any], Any] | None] = []
        for name, column in zip(hints, columns, strict=True):
            if isinstance(column.type, sa.JSON):
                self._decoders.append(msgspec.json.Decoder(hints[name]).decode)
            elif isinstance(column.type, UtcDateTime):
                self._decoders.append(_moment)
            elif isinstance(hints[name], type) and issubclass(hints[name], str) and hints[name] is not str:
                self._decoders.append(hints[name])
            else:
                self._decoders.append(None)
        own_columns = [
            *(table.c[name] for name in hints if name in table.c),
            *(table.c[name] for name in self._derived_columns),
        ]
        self.sortable: dict[str, sa.ColumnElement[Any]] = {
            str(column.name): column for column in own_columns if not isinstance(column.type, sa.JSON)
        }
        """The columns behind public fields, to sort and filter by."""
        self.sortable["id"] = table.c.id
        self.sortable.update(sortable or {})
        if unknown_names := get_type_hints(selector_type).keys() - self.sortable.keys():
            raise TypeError(f"{table.name} has no {', '.join(sorted(unknown_names))} to select by")

    def key(self, row: sa.Row[Any]) -> str | int:
        """Return the key that identifies the row, for the operator who looks for it."""
        key: str | int = row[self._key]
        return key

    def load(self, row: sa.Row[Any]) -> T:
        """Return the object in the row. Raises `ValueError` or `TypeError` for a row that holds none."""
        try:
            values = [
                value if decode is None else decode(value) for decode, value in zip(self._decoders, row, strict=False)
            ]
        except TypeError:
            # Searched only after an error: this runs for each of thousands of rows.
            for value in row:
                if isinstance(value, UnreadableValue):
                    raise TypeError(value.text) from None
            raise
        if self._positional:
            return self.object_type(*values)
        return self.object_type(**dict(zip(self._names, values, strict=True)))

    def dump(self, item: T) -> dict[str, Any]:
        """Return the row for the object. The database gives the number of an object that has none yet."""
        row = {name: getattr(item, name) for name in self._names}
        row.update((name, column_of(item)) for name, column_of in self._derived_columns.items())
        if row.get("id", 0) is None:
            del row["id"]
        return row

    def sort_column(self, key: str) -> sa.ColumnElement[Any]:
        """Return the column that a user's page is sorted by. Raises `Invalid` if there is none."""
        column = self.sortable.get(key)
        if column is None:
            raise Invalid(f'The sort_key value "{key}" is an invalid field for sorting', field="sort_key")
        return column


def _moment(value: Any) -> Any:
    if isinstance(value, UnreadableValue):
        raise ValueError(f"{value.text!r} is no time")  # noqa: TRY004  (the column has the type, the text is wrong)
    return value
