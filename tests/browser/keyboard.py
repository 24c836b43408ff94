"""A walk over a page by the Tab key alone: what can't be reached, comes out of order, or can't be seen to have it."""

from __future__ import annotations

from itertools import pairwise

from playwright.sync_api import Page

MOST_STOPS = 1500

PREPARE = """
() => {
  const wanted = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']";
  const properties = ["outlineStyle", "outlineWidth", "boxShadow", "backgroundColor", "borderTopColor", "stroke",
    "strokeWidth", "fill", "textDecorationLine"];
  window.sfLook = (element) => [element, ...[...element.querySelectorAll("*")].slice(0, 12)].map((part) => {
    return [null, "::before", "::after"].map((pseudo) => {
      const style = getComputedStyle(part, pseudo);
      return properties.map((property) => style[property]).join();
    }).join();
  }).join("|");
  const shown = (element) => element.checkVisibility({ checkVisibilityCSS: true }) && !element.disabled;
  window.sfStops = [...document.querySelectorAll(wanted)].filter(shown);
  window.sfLooks = window.sfStops.map(window.sfLook);
  document.activeElement.blur();
  return window.sfStops.length;
}
"""
STOP = """
() => {
  const at = window.sfStops.indexOf(document.activeElement);
  window.sfLook(document.activeElement);
  document.getAnimations().forEach((animation) => animation.finish());
  return [at, at < 0 || window.sfLook(document.activeElement) !== window.sfLooks[at],
    document.activeElement === document.body];
}
"""
NAME = "(at) => window.sfStops[at].outerHTML.slice(0, 120)"
SCROLLED = """
() => [...document.querySelectorAll("*")].filter((element) => {
  const style = getComputedStyle(element);
  const across = element.scrollWidth > element.clientWidth && ["auto", "scroll"].includes(style.overflowX);
  const down = element.scrollHeight > element.clientHeight && ["auto", "scroll"].includes(style.overflowY);
  return (across || down) && element !== document.documentElement && element !== document.body;
}).filter((element) => !(element.closest("nav") && element.querySelector("a[href]")))
  .filter((element) => element.tabIndex < 0 || !(element.ariaLabel || element.getAttribute("aria-labelledby")))
  .map((element) => element.outerHTML.slice(0, 120))
"""


def walk(page: Page) -> list[str]:
    """Go over the whole page with Tab; what is wrong, in words."""
    wanted = page.evaluate(PREPARE)
    order: list[int] = []
    wrong = []
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        at, seen, left = page.evaluate(STOP)
        if left or (at >= 0 and at == (order or [-1])[0] and len(order) > 1):
            break
        if at >= 0 and (not order or order[-1] != at):
            order.append(at)
            if not seen:
                wrong.append(f"focus can't be seen: {page.evaluate(NAME, at)}")
    missed = sorted(set(range(wanted)) - set(order))
    wrong += [f"can't be reached: {page.evaluate(NAME, at)}" for at in missed]
    wrong += [
        f"out of order: {page.evaluate(NAME, after)}" for before, after in pairwise(order) if after < before
    ]
    return wrong


def scrolled_by_mouse_only(page: Page) -> list[str]:
    """The regions that scroll, but can't have the focus or have no name; a row of links scrolls with its links."""
    return [f"scrolls, without focus or name: {html}" for html in page.evaluate(SCROLLED)]
