"""What capture, sweeping and recording cost, measured beside plain Django and hand-written SQL. Run by `make bench`."""
