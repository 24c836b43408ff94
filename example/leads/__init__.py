"""Leads: hot, warm and cold, until they are won."""
