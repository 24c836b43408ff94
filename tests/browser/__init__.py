"""The pages in a real browser: the system's Chromium, looking at the example as a server of its own serves it."""
