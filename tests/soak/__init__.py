"""The long runs: processes that write, or run the schedule, are killed and start again.

Beneath the writers the subject's table is migrated. ``python -m tests.soak`` runs them for five minutes on each
database, and the schedule with five seeds; ``tests/capture/test_soak.py`` and ``tests/periodic/test_killed_runners.py``
for some seconds.
"""
