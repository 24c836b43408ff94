"""Subjects whose keys are no numbers. No migrations."""
