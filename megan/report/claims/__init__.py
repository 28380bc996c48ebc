"""The paper's claims, each decided by a rule fixed beforehand; docs/claims.md is the table of rules."""
