"""What ``python -m kt_ext`` can do with a search: one file for each command."""
