"""The demonstration: a simulated past, a live today, and the command that builds and serves both."""
