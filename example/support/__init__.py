"""The support desk: tickets from new to closed, and back."""
