"""Run folders: training, checkpoints, exact resume, loading."""
