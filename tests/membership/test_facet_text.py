"""What events keep of their subjects, grouped: each text by itself, on every database."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db.models import Count
from hypothesis import given
from hypothesis import strategies as st

from stockandflow.membership.facets import FacetText
from tests.membership.strategies import NASTY, texts
from tests.testapp.models import ItemFlowEvent

pytestmark = pytest.mark.django_db


@given(
    st.lists(st.sampled_from(NASTY) | texts | st.none(), max_size=12),
    st.sampled_from(["plan", "a-b", "a_B2", "0"]),
)
def test_equal_texts_are_one_group_and_others_are_not(values: list[str | None], slug: str) -> None:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    ItemFlowEvent.objects.all().delete()
    ItemFlowEvent.objects.bulk_create(
        ItemFlowEvent(subject_id=1, timestamp=at, recorded_at=at, facets={slug: value, "other": "x"})
        for value in values
    )
    ItemFlowEvent.objects.create(subject_id=1, timestamp=at, recorded_at=at)  # it keeps none
    groups = (
        ItemFlowEvent.objects.order_by()
        .annotate(text=FacetText(slug))
        .values_list("text")
        .annotate(n=Count("pk"))
    )
    found = list(groups)
    assert len(found) == len({*values, None})
    assert dict(found) == {value: [*values, None].count(value) for value in {*values, None}}
