"""Mortgages: one service under the paths of two generations, of which each module shows its own routes."""
