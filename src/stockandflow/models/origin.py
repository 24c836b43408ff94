"""How an event came to be."""

from __future__ import annotations

from django.db import models


class Origin(models.TextChoices):
    """How an event came to be."""

    LIVE = "live", "live"
    INITIAL = "initial", "initial"
    SWEEP = "sweep", "sweep"
    IMPORT = "import", "import"
