"""Planned phases and what runs them."""
