"""Models whose past other packages keep."""
