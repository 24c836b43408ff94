"""The example without debugging aids, and beside its pages those that are bad on purpose."""

from example.settings import *  # noqa: F403

DEBUG = False
ROOT_URLCONF = "tests.browser.urls"
