"""The ways to write to a database, as data: what each does, and the moves that it must make.

A path works on the models of whatever ``Cast`` is handed in, so that other captures can be put to the same test:
``make`` a scene, let the path ``write``, and read the moves by one's own means.
"""
