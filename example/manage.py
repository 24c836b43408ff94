#!/usr/bin/env python
"""Run a management command of the example project: ``python example/manage.py demo``."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    # Python puts this folder first, but the project is imported as the package ``example`` beside it.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example.settings")

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
