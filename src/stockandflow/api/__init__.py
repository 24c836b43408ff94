"""The numbers for programs: ``/api/v1/``, with a session or a token, in JSON that a schema describes."""
