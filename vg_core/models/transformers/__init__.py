"""Transformers as backbones of named layers, and their names in files of others."""
