"""How every address of the API answers: the caller known first, JSON always, and 304 where nothing is new."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from hashlib import sha256
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from stockandflow.api.callers import identify
from stockandflow.api.refusals import REFUSED, Refused, refusal

VERSION = 1
"""Of the keys and their meaning: a new key leaves it, anything else raises it, and the address with it."""
PASSING = ("at", "computed_at")
"""When a number was told is no news where it is the same number."""

Document = dict[str, Any]


View = Callable[..., Document | HttpResponse]


def answering(*, basic: bool = False) -> Callable[[View], Callable[..., HttpResponseBase]]:
    """Have what a view gives sent as JSON with an ETag, or as the response that it is; and what it raises as JSON.

    With ``basic`` the token may come by HTTP's basic scheme.
    """

    def decorate(view: View) -> Callable[..., HttpResponseBase]:
        @csrf_exempt  # nothing is written, and the refusal of a POST is JSON, too
        @login_not_required  # the caller is known here, and told in JSON
        @wraps(view)
        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                if request.method not in ("GET", "HEAD"):
                    text = _("The method is %(method)s; ask with GET.")
                    raise Refused(405, "method", text % {"method": request.method})
                identify(request, basic=basic)
                found = view(request, *args, **kwargs)
            except REFUSED as error:
                return refused(refusal(error))
            return found if isinstance(found, HttpResponse) else conditional(request, found)

        return answer

    return decorate


def answers(view: Callable[..., Document]) -> Callable[..., HttpResponseBase]:
    """Have a view of the API answer with its document."""

    @wraps(view)
    def versioned(*args: Any, **kwargs: Any) -> Document:
        return {"version": VERSION, **view(*args, **kwargs)}

    return answering()(versioned)


def told(document: Any, *, status: int = 200, content_type: str = "application/json") -> HttpResponse:
    """The document as JSON, for this caller alone."""
    response = HttpResponse(json.dumps(document), status=status, content_type=content_type)
    return private(response)


def private(response: HttpResponse) -> HttpResponse:
    """For this caller alone, who asks again before using it again."""
    response["Cache-Control"] = "private, no-cache"
    response["X-Content-Type-Options"] = "nosniff"
    patch_vary_headers(response, ("Authorization", "Cookie"))
    return response


def conditional(request: HttpRequest, document: Document) -> HttpResponseBase:
    """The document with its ETag, or 304 without a body for a caller who has it already."""
    response = told(document)
    response["ETag"] = etag = etag_of(document)
    return get_conditional_response(request, etag=etag, response=response) or response


def etag_of(document: Any) -> str:
    """A weak ETag of what the document says, whenever it was asked for."""
    said = json.dumps(_lasting(document), sort_keys=True)
    return f'W/"{sha256(said.encode()).hexdigest()[:32]}"'


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(one) for key, one in value.items() if key not in PASSING}
    return [_lasting(one) for one in value] if isinstance(value, list) else value


def refused(error: Refused) -> HttpResponse:
    """The refusal as JSON."""
    document = {
        "version": VERSION,
        "kind": "error",
        "error": {"code": error.code, "message": error.message, "parameters": error.parameters},
    }
    response = told(document, status=error.status)
    if error.status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="stockandflow"'
    if error.status == 405:
        response["Allow"] = "GET, HEAD"
    return response
