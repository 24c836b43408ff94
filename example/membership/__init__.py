"""Members and their subscriptions: trial, active, paused, past due, churned."""
