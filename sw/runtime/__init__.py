"""Devices and what runs programs on them."""
