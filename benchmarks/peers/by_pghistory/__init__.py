"""django-pghistory: row triggers that write a snapshot to an event table. PostgreSQL alone."""
