"""Sphinx builds the documentation from this: pages in MyST Markdown, Furo, a warning is an error."""

from importlib.metadata import version as installed_version

project = "django-stockandflow"
author = "The django-stockandflow contributors"
copyright = f"2011-2026, {author}"  # noqa: A001  (Sphinx's name)
release = installed_version("django-stockandflow")
version = release

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"{project} {release}"
