"""Pages within pages of others: off unless the setting ``EMBED_ORIGINS`` names who may show them."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.templatetags.static import static

from stockandflow.conf import conf

PARAMETER = "embed"
EMBEDDABLE = ("process", "stock", "flow")
"""The pages that only show numbers; on the others somebody could be led to press a button that they don't see."""
TEMPLATE = "stockandflow/embed.html"


def is_embedded(request: HttpRequest) -> bool:
    """Whether the page is to stand in a page of others: ``?embed=1``, where that is allowed."""
    match = request.resolver_match
    return (
        request.GET.get(PARAMETER) == "1"
        and bool(conf().embed_origins)
        and match is not None
        and match.url_name in EMBEDDABLE
    )


def allow_embedding(response: HttpResponse) -> HttpResponse:
    """Have browsers show the response in frames of ``EMBED_ORIGINS``, and run nothing in it that isn't ours."""
    address = urlsplit(static(""))
    files = f"{address.scheme}://{address.netloc}" if address.netloc and address.scheme else "'self'"
    response["Content-Security-Policy"] = "; ".join(
        [
            "default-src 'none'",
            *(f"{kind} {files}" for kind in ("script-src", "style-src", "img-src", "font-src")),
            "form-action 'self'",
            f"frame-ancestors {' '.join(conf().embed_origins)}",
        ]
    )
    response.xframe_options_exempt = True  # Django's own mark
    return response
