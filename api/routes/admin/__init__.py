"""The routes of operators, /api/admin."""
