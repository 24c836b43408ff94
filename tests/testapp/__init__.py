"""Models of every shape that declarations can meet; the example project is tidier than that. No migrations."""
