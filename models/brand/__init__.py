"""Brands: who buys which, why, what they say about it, and what it is worth."""
