"""The settings: one TOML file, read into frozen values; every fault of it is told at once, with its line.

This module imports nothing, so that commands which only need the data directory start fast: see
`location` for those, and `reading` for the whole file.
"""
