"""What was reported then, as a table to read."""

from textwrap import dedent

import pytest

from stockandflow import reports
from stockandflow.rendering.known import known_text
from tests.reports.test_reported import day, recorded_process, watermarked

pytestmark = pytest.mark.django_db


def test_stocks_and_then_each_pair_once_for_the_range_and_its_parts() -> None:
    balance = reports.balance(watermarked(recorded_process()), day(0), day(2), grain="day")
    text = known_text(balance, reports.as_reported(balance, day(10)), day(10))
    assert text == dedent(
        """\
        As it was reported on 11 Mar 2026, 00:00, Europe/London

        1 – 2 Mar 2026                               then  now
        Trial
          Opening                                       5    5
          In                                            0    0
          Out                                           1    2  changed
          Net                                          −1   −2  changed
          Unexplained                                  −1    0  changed
          Closing                                       3    3
        Active
          Opening                                       1    1
          In                                            1    2  changed
          Out                                           0    0
          Net                                           1    2  changed
          Unexplained                                   1    0  changed
          Closing                                       3    3
        Moves
          Converting from Trial to Active               1    2  changed
          Converting from Trial to Active, subjects     –    2

        1 Mar 2026                                   then  now
        Trial
          Opening                                       5    5
          In                                            0    0
          Out                                           1    2  changed
          Net                                          −1   −2  changed
          Unexplained                                  −1    0  changed
          Closing                                       3    3
        Active
          Opening                                       1    1
          In                                            1    2  changed
          Out                                           0    0
          Net                                           1    2  changed
          Unexplained                                   1    0  changed
          Closing                                       3    3
        Moves
          Converting from Trial to Active               1    2  changed
          Converting from Trial to Active, subjects     1    2  changed

        2 Mar 2026                                   then  now
        Trial
          Opening                                       3    3
          In                                            0    0
          Out                                           0    0
          Net                                           0    0
          Unexplained                                   0    0
          Closing                                       3    3
        Active
          Opening                                       3    3
          In                                            0    0
          Out                                           0    0
          Net                                           0    0
          Unexplained                                   0    0
          Closing                                       3    3

        –: there is no record of it: records keep subjects of one stored period.
        """
    )
