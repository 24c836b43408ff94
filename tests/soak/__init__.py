"""The long run: processes that write, are killed and start again, while the subject's table is migrated beneath them.

``python -m tests.soak`` runs it for five minutes on each database; ``tests/capture/test_soak.py`` for some seconds.
"""
