"""Readers for public data sets in the layouts they are published in; the folder is always an argument."""
