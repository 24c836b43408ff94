"""django-simple-history: signals that write a snapshot to a historical table."""
