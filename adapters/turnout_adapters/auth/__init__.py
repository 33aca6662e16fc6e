"""Credentials that expire or sign: one module for each cloud. Its library is an extra, imported when first needed."""
