"""Figures of finished models: metrics, and their application to a run."""
