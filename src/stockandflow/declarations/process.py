"""Processes: stocks and flows that are reported together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stockandflow.declarations.flow import Flow
from stockandflow.declarations.slugs import checked_slug
from stockandflow.declarations.stock import Stock
from stockandflow.exceptions import DeclarationError, NotRegistered

if TYPE_CHECKING:
    from stockandflow.registry import Registry


class Process:
    """A named group of stocks and flows, reported together.

    ``flows`` default to those registered flows that touch one of the stocks. ``permission`` is needed to see the
    process, e.g. ``"shop.view_subscription"``; without one, ``stockandflow.view_process`` is.
    """

    def __init__(
        self,
        slug: str,
        name: str,
        stocks: Sequence[Stock],
        flows: Sequence[Flow] | None = None,
        description: str = "",
        permission: str | None = None,
    ) -> None:
        self.slug = checked_slug("process", slug)
        self.name, self.description, self.permission = name, description, permission
        owner = f"The process {slug!r}"
        if isinstance(stocks, Stock) or not stocks or not all(isinstance(stock, Stock) for stock in stocks):
            raise DeclarationError(
                f"{owner} has the stocks {stocks!r}; write a list of one or more Stock objects."
            )
        if len(set(stocks)) != len(stocks):
            raise DeclarationError(f"{owner} lists a stock twice; keep one of them.")
        if flows is not None and (
            isinstance(flows, Flow) or not all(isinstance(flow, Flow) for flow in flows)
        ):
            raise DeclarationError(
                f"{owner} has the flows {flows!r}; write a list of Flow objects, or leave it out."
            )
        if permission is not None and permission.count(".") != 1:
            raise DeclarationError(
                f"{owner} has the permission {permission!r}; write 'app_label.codename', e.g. "
                "'shop.view_subscription'."
            )
        self.stocks = tuple(stocks)
        self.declared_flows = None if flows is None else tuple(flows)
        self._registry: Registry | None = None

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<Process {self.slug}>"

    def bind(self, registry: Registry) -> None:
        """Tell the process which registry knows its flows; called by the registry alone."""
        self._registry = registry

    @property
    def flows(self) -> list[Flow]:
        """The declared flows, or all registered ones that touch a stock of this process, in registered order."""
        if self.declared_flows is not None:
            return list(self.declared_flows)
        if self._registry is None:
            raise NotRegistered(
                f"The process {self.slug!r} isn't registered, so its flows aren't known; pass it to register() first."
            )
        mine = set(self.stocks)
        return [flow for flow in self._registry.flows if mine.intersection(flow.stocks)]
