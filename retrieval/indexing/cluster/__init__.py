"""Encoding on other machines, by Ray. A run that asks for it starts a child process that speaks to Ray (``bridge``)."""
