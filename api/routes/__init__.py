"""The routes: one module a URL prefix."""
