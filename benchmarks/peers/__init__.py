"""This package beside others that tell what became of an object: what they cost, and which writes they see.

Each has an app of its own here, with the same models, tracked as its documentation says. What isn't installed is left
out; ``requirements/bench.txt`` has them all.
"""
