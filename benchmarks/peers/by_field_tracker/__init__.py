"""model-utils' FieldTracker: it keeps the old values in the instance, and a receiver of ours writes the event."""
