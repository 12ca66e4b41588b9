"""Reads another store, and writes it into the database in batches: `portal import`.

A source yields the rows of the legacy tables as they are there (api/imports/d1.py, api/imports/http.py). What they
become, and which are refused, is decided in SQL (sql/68_import); api/imports/loading.py moves them there.
"""
