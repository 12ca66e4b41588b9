"""Writes the whole database into a folder of files, and fills an empty database from it: `portal export`.

api/exports/tables.py says which tables there are, from the catalog; api/exports/formats.py how their rows are written.
"""
