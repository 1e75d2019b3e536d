"""Checks an input before anything runs on it, and says what was found, what is missing and what is wrong."""
