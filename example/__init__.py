"""A subscription business, with its members, its support desk and its leads declared as stocks and flows."""
