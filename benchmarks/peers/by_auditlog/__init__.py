"""django-auditlog: signals that write the changed fields to one log."""
