"""Finished studies to keep and to carry: `record` for git, `importing` of results made elsewhere, `bundle` (their archives)."""
