"""The columns of a list of objects: those of the stock's admin where it has one, else a few that tell of states."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist
from django.db.models import F, Field, Model, OrderBy, QuerySet
from django.db.models import fields as model_fields
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse
from django.utils.formats import date_format, number_format, time_format
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.timezone import is_aware
from django.utils.translation import gettext as _

from stockandflow.declarations import Flow, Stock
from stockandflow.periods import Calendar
from stockandflow.site.frames import framed_by

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite, ModelAdmin  # a project without the admin can do without

log = logging.getLogger(__name__)

MOST = 5
"""How many columns a list has beside the object's name where nobody declared any."""
TELLING = (
    model_fields.DateField,
    model_fields.BooleanField,
    model_fields.DecimalField,
    model_fields.FloatField,
    model_fields.IntegerField,
)
"""Fields that are shown without being asked for. What people wrote, or a password, is not."""
EMPTY = "–"


@dataclass(frozen=True)
class Column:
    """One column of a list: its name in an address, its heading, and how an object's cell is read."""

    key: str
    label: str
    read: Callable[[Any], Any]
    ordering: str | OrderBy | F | None = None
    """What sorts by it, None where nothing does."""
    related: str = ""
    """The foreign key that it reads, "" where it reads none."""
    is_number: bool = False

    def cell(self, row: Any, calendar: Calendar) -> str:
        """What the cell shows. What a project's own function can't tell is logged and left empty."""
        try:
            return shown(self.read(row), calendar)
        except ObjectDoesNotExist:
            return EMPTY
        except Exception:
            log.exception("The column %r of %r can't be shown", self.key, row)
            return EMPTY


def admin_of(request: HttpRequest, declaration: Stock | Flow) -> ModelAdmin[Any] | None:
    """The admin that a StockAndFlowAdminSite has of a stock or a flow, None where none has.

    Of several sites the one in whose frame the page stands comes first; one without addresses is none. No query.
    """
    for site in mounted_sites(request):
        for listing, admin in site._registry.items():  # noqa: SLF001  # it has no other way to ask
            if getattr(listing, "declaration", None) is declaration:
                return admin
    return None


def mounted_sites(request: HttpRequest) -> list[AdminSite]:
    """The admin sites that have addresses, the one in whose frame the page stands first; none without the admin."""
    if not apps.is_installed("django.contrib.admin"):
        return []
    from django.contrib.admin.sites import all_sites  # noqa: PLC0415  # not without the admin

    frame = framed_by(request)
    mounted = [site for site in all_sites if site is frame or _has_addresses(site)]
    return sorted(mounted, key=lambda site: (site is not frame, site.name))


def quoted(key: Any) -> str:
    """A key as the admin's addresses have it."""
    from django.contrib.admin.utils import quote  # noqa: PLC0415  # not without the admin

    return str(quote(key))


def _has_addresses(site: AdminSite) -> bool:
    """Whether its pages are among the project's addresses, and not those of another one of its name."""
    try:
        address = reverse(f"{site.name}:index")
        view: Any = resolve("/" + address.removeprefix(get_script_prefix())).func
    except (NoReverseMatch, Resolver404):
        return False
    return getattr(view, "admin_site", None) is site


def columns_of(model: type[Model], admin: ModelAdmin[Any] | None, request: HttpRequest) -> list[Column]:
    """The columns of a list of a model's objects, the first of which names them. No query."""
    declared: Sequence[Any] = (
        ["__str__", *_telling(model)] if admin is None else admin.get_list_display(request)
    )
    return [_column(name, model, admin) for name in declared]


def related_of(columns: Iterable[Column], admin: ModelAdmin[Any] | None) -> list[str]:
    """The foreign keys to be read with the objects, so that no row asks for its own."""
    wanted = getattr(admin, "list_select_related", False)
    names = list(wanted) if isinstance(wanted, list | tuple) else []
    return list(dict.fromkeys([*names, *(column.related for column in columns if column.related)]))


def ordered(rows: QuerySet[Any], column: Column, *, descending: bool) -> QuerySet[Any]:
    """The rows by a column that can be sorted by; ties by primary key, so that pages meet."""
    order: Any = column.ordering
    if isinstance(order, str):
        order = F(order.removeprefix("-")).desc() if order.startswith("-") else F(order).asc()
    elif not isinstance(order, OrderBy):
        order = order.asc()
    order = order.copy()
    if descending:
        order.reverse_ordering()
    return rows.order_by(order, "-pk" if descending else "pk")


def _telling(model: type[Model]) -> list[str]:
    fields = [
        field.name
        for field in model._meta.concrete_fields
        if not field.primary_key and not field.remote_field and (field.choices or isinstance(field, TELLING))
    ]
    return fields[:MOST]


def _column(name: Any, model: type[Model], admin: ModelAdmin[Any] | None) -> Column:
    if name == "__str__":
        return Column("__str__", capfirst(str(model._meta.verbose_name)), str)
    if callable(name):
        return _by_function(getattr(name, "__name__", "function"), name, name)
    field = _field(model, name)
    if field is not None:
        return _by_field(name, field)
    found = getattr(admin, name, None)
    if callable(found):
        return _by_function(name, found, found)
    on_model = getattr(model, name, None)
    if isinstance(on_model, property):
        return _by_function(name, on_model.fget, lambda row: getattr(row, name))
    return _by_function(name, on_model, lambda row: _called(getattr(row, name)))


def _called(value: Any) -> Any:
    return value() if callable(value) else value


def _by_function(key: str, described: Any, read: Callable[[Any], Any]) -> Column:
    label = getattr(described, "short_description", None) or key.replace("_", " ")
    order = getattr(described, "admin_order_field", None)
    if order is not None and not isinstance(order, str | OrderBy):
        order = OrderBy(order)
    return Column(key, capfirst(str(label)), read, ordering=order)


def _field(model: type[Model], name: str) -> Field[Any, Any] | None:
    """The column that a name, or a path over foreign keys, leads to; None where it leads to none."""
    field: Any = None
    for part in name.split(LOOKUP_SEP):
        try:
            field = (model if field is None else field.related_model)._meta.get_field(part)
        except (FieldDoesNotExist, AttributeError):
            return None
        if not getattr(field, "concrete", False) or field.many_to_many:
            return None
    found: Field[Any, Any] = field
    return found


def _by_field(name: str, field: Field[Any, Any]) -> Column:
    *path, last = name.split(LOOKUP_SEP)

    def read(row: Any) -> Any:
        for part in path:
            row = getattr(row, part)
            if row is None:
                return None
        if field.choices:
            return getattr(row, f"get_{last}_display")()
        return getattr(row, last)

    numeric = isinstance(
        field, model_fields.IntegerField | model_fields.DecimalField | model_fields.FloatField
    )
    related = name if field.remote_field else LOOKUP_SEP.join(path)
    return Column(
        name,
        capfirst(str(field.verbose_name)),
        read,
        ordering=name,
        related=related,
        is_number=numeric and not field.choices and not field.remote_field,
    )


def shown(value: Any, calendar: Calendar) -> str:
    """A value as people read it, by their locale; instants on the calendar's clocks."""
    if value is None or value == "":
        return EMPTY
    if isinstance(value, SafeString):
        return value
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    if isinstance(value, datetime):
        local = value.astimezone(calendar.zone) if is_aware(value) else value
        return date_format(local, "DATETIME_FORMAT")
    if isinstance(value, date):
        return date_format(value, "DATE_FORMAT")
    if isinstance(value, time):
        return time_format(value)
    if isinstance(value, int | float | Decimal):
        return number_format(value, use_l10n=True, force_grouping=True)
    return str(value)
