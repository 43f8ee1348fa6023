"""What benchmarks/suite.py and benchmarks/accelerator.py measure, and how."""
