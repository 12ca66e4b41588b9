"""The routes: one module per URL prefix."""
