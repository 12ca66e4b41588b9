"""Tests of days and months at any moment: `make test-clock` runs them at the moments where they could fail."""
