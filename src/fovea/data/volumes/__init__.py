"""Volumes of several modalities; torch-free but for what makes tensors of them."""
