"""Strategies: each chooses the next architecture from what is known of the others."""
