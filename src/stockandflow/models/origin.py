"""How an event came to be."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Origin(models.TextChoices):
    """How an event came to be."""

    LIVE = "live", _("live")
    INITIAL = "initial", _("initial")
    SWEEP = "sweep", _("sweep")
    IMPORT = "import", _("import")
