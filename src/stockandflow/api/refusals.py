"""What is refused, and how a program is told."""

from __future__ import annotations

from collections.abc import Mapping

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext as _

from stockandflow.exceptions import InvalidInput, UnknownSlug
from stockandflow.site.reporting import Uncounted


class Refused(Exception):
    """A request isn't answered: the status, a word that programs can tell apart, and the text for people.

    ``parameters`` is parameter → what is wrong with it.
    """

    def __init__(
        self, status: int, code: str, message: str, parameters: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.parameters = dict(parameters or {})


REFUSED = (Refused, Http404, PermissionDenied, UnknownSlug, InvalidInput, Uncounted)
"""What ``refusal`` understands."""


def refusal(error: Exception) -> Refused:
    """What is told of one of ``REFUSED``."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, Http404 | UnknownSlug):
        return Refused(404, "not-found", str(error))
    if isinstance(error, PermissionDenied):
        return Refused(403, "forbidden", str(error) or _("You may not see this."))
    if isinstance(error, Uncounted):
        return Refused(503, "uncounted", str(error))
    return Refused(400, "invalid", str(error))


def invalid(parameters: Mapping[str, str]) -> Refused:
    """The refusal of parameters that can't be understood."""
    return Refused(400, "invalid", " ".join(parameters.values()), parameters)
