"""Tests of days and months hold at any moment: `make test-clock` runs them at those where they could fail."""
