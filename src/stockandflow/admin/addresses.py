"""From the admin site to the pages of the processes in its frame."""

from __future__ import annotations

from collections.abc import Sequence

from django.urls import reverse

from stockandflow.declarations import Flow, Process, Stock
from stockandflow.site.access import User, may_list


def page_address(site: str, processes: Sequence[Process], told: Stock | Flow) -> str:
    """The address of the stock's or the flow's page in the first of the processes that has it, "" where none has.

    ``site`` is the name of the admin site.
    """
    kind = "stock" if isinstance(told, Stock) else "flow"
    for process in processes:
        if told in (process.stocks if isinstance(told, Stock) else process.flows):
            return reverse(f"{site}:stockandflow:{kind}", args=[process.slug, told.slug])
    return ""


def work_address(site: str, processes: Sequence[Process], user: User, told: Stock | Flow) -> str:
    """The address where the user works through the stock; "" for a flow, and where its members may not be listed."""
    if isinstance(told, Stock):
        for process in processes:
            if told in process.stocks and may_list(user, process, told.model):
                return reverse(f"{site}:stockandflow:work", args=[process.slug, told.slug])
    return ""
