"""The example's addresses, and pages that each do one thing that no page of ours may do."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path

from example.urls import urlpatterns as of_the_example

ELSEWHERE = "http://elsewhere.invalid/"
LAX = "default-src 'self' http://elsewhere.invalid"

BODIES = {
    "style": '<p style="color: red">Red</p>',
    "script": "<script>document.title = 'changed';</script>",
    "elsewhere": f'<img src="{ELSEWHERE}pixel.png" alt="">',
    "missing": '<img src="/bad/nowhere/" alt="">',
    "complaint": '<script src="/bad/complaint.js"></script>',
    "throwing": '<script src="/bad/throwing.js"></script>',
    "refused": '<script src="/bad/refused.js"></script>',
    "unlabelled": '<form><input name="q"></form>',
    "faint": '<link rel="stylesheet" href="/bad/faint.css"><p>Can you read this?</p>',
    "wide": "<pre>" + "wide " * 500 + "</pre>",
    "mouse-only": '<button tabindex="-1">Only by mouse</button> <a href="/bad/well/">By keyboard</a>',
    "jumping": '<a href="/bad/well/">Second</a> <a href="/bad/well/" tabindex="1">First</a>',
    "scrolling": '<link rel="stylesheet" href="/bad/scrolling.css"><pre tabindex="-1">'
    + "wide " * 500
    + "</pre>",
    "no-focus": '<link rel="stylesheet" href="/bad/no-focus.css"><a href="/bad/well/">Where am I?</a>',
    "well": '<p>Nothing is wrong here, but for <a href="/bad/well/">one link</a>.</p>',
}
FILES = {
    "complaint.js": "console.error('this went wrong');",
    "throwing.js": "throw new Error('thrown on purpose');",
    "refused.js": "fetch('/bad/gone/');",
    "faint.css": "p { color: #ddd; background: #fff; }",
    "scrolling.css": "pre { overflow: auto; }",
    "no-focus.css": "a { outline: none; }",
}


def bad(request: HttpRequest, name: str) -> HttpResponse:
    """The page of that name, under the policy of the settings unless its fault wants another."""
    if name not in BODIES:
        raise Http404
    response = HttpResponse(
        f'<!DOCTYPE html><html lang="en"><head><title>{name}</title><meta name="viewport" '
        f'content="width=device-width"></head><body><main><h1>{name}</h1>{BODIES[name]}</main></body></html>'
    )
    if name in ("elsewhere", "refused"):
        response["Content-Security-Policy"] = LAX
    return response


def file(request: HttpRequest, name: str) -> HttpResponse:
    """A script or a style sheet that a bad page wants."""
    kind = "text/css" if name.endswith(".css") else "text/javascript"
    return HttpResponse(FILES[name], content_type=kind)


urlpatterns = [
    *of_the_example,
    *(path(f"bad/{name}", file, {"name": name}) for name in FILES),
    path("bad/<slug:name>/", bad),
]
