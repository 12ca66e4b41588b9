"""The routes of both legacy generations: one module a legacy service (contract, sections 2 to 7)."""
