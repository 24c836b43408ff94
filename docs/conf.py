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
html_title = project
html_favicon = "../src/stockandflow/static/stockandflow/icon.svg"
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"
# The colours of the app's own pages, light and dark.
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#1f5673",
        "color-brand-content": "#1c5f8c",
        "color-brand-visited": "#1c5f8c",
    },
    "dark_css_variables": {
        "color-brand-primary": "#8fc4e0",
        "color-brand-content": "#84c7f2",
        "color-brand-visited": "#84c7f2",
    },
}
