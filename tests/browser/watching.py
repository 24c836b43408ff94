"""What a page does that it may not do, noticed while a browser shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import ConsoleMessage, Error, Page, Request, Response, Route

LISTENER = """
document.addEventListener("securitypolicyviolation", (event) => {
  window.sfViolation(`${event.effectiveDirective} forbids ${event.blockedURI} (${event.sample})`);
});
"""

SETTLE = """
() => new Promise((done) => requestAnimationFrame(() => {
  document.getAnimations().forEach((animation) => animation.finish());
  requestAnimationFrame(() => done());
}))
"""

COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules of axe-core that look at colours."""

TOO_WIDE = """
() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return "";
  const wide = [...document.body.querySelectorAll("*")].filter((element) => {
    const box = element.getBoundingClientRect();
    const spills = getComputedStyle(element).overflowX === "visible" ? element.scrollWidth : 0;
    return box.width && box.left + Math.max(box.width, spills) > width + 1;
  });
  return `${document.documentElement.scrollWidth} px of ${width}, by ` +
    wide.slice(-3).map((element) => element.outerHTML.slice(0, 80)).join(" and ");
}
"""


class Watcher:
    """Writes down, in words, each thing that a page may not do; requests to other hosts are never let through.

    ``origin`` is the one server that pages may ask, e.g. ``http://127.0.0.1:8000``.
    """

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.seen: list[str] = []
        page.expose_function("sfViolation", lambda text: self._note("policy", text))
        page.add_init_script(LISTENER)
        page.route(lambda address: not self._local(address), self._stop)
        page.on("console", self._console)
        page.on("pageerror", self._thrown)
        page.on("response", self._answered)
        page.on("requestfailed", self._failed)

    def _note(self, kind: str, text: str) -> None:
        self.seen.append(f"{kind}: {text}")

    def _local(self, address: str) -> bool:
        found = urlsplit(address)
        return found.scheme in ("data", "blob", "about") or f"{found.scheme}://{found.netloc}" == self.origin

    def _stop(self, route: Route) -> None:
        self._note("foreign", route.request.url)
        route.abort()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._note("console", message.text)

    def _thrown(self, error: Error) -> None:
        self._note("thrown", error.message)

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self._note("status", f"{response.status} from {response.url}")

    def _failed(self, request: Request) -> None:
        if request.failure == "net::ERR_ABORTED":  # the page was left before it had its icon
            return
        self._note("failed", f"{request.method} {request.url}: {request.failure}")

    def found(self) -> list[str]:
        """What was noticed up to now, which is then forgotten."""
        settle(self.page)
        found, self.seen = self.seen, []
        return found


def settle(page: Page) -> None:
    """Have the page drawn as it is to stay: links in Django's admin fade from one colour to another."""
    page.evaluate(SETTLE)


def at_widths(page: Page, *widths: int) -> Iterator[int]:
    """Each of these widths in pixels, once the page has settled at it."""
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        settle(page)
        yield width


def unusable(page: Page, *, colours_only: bool = False) -> list[str]:
    """What axe-core finds that keeps people from using the page; of its colours alone, if nothing else has changed.

    Not looked at are the breadcrumbs of Django's admin before 6.1, whose links differ from their text in colour alone.
    """
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(AXE_SCRIPT)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if colours_only:
        options["runOnly"] = COLOURS
    found = page.evaluate("(options) => axe.run({ exclude: [['div.breadcrumbs']] }, options)", options)
    return [
        f"axe: {violation['id']} ({violation['help']}) at {node['target']}: {node['html'][:160]}; "
        + "; ".join(why["message"] for why in node["any"] + node["all"] + node["none"])
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


def too_wide(page: Page) -> list[str]:
    """Whether the page has to be scrolled sideways, and what makes it so wide."""
    text = page.evaluate(TOO_WIDE)
    return [f"wide: {text}"] if text else []


def keep(page: Page, folder: Path, name: str) -> Path:
    """Keep a screenshot of the whole page."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    page.screenshot(path=path, full_page=True, animations="disabled")
    return path
