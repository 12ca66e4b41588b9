"""Documents on paper: what an accountant gets as PDF."""
