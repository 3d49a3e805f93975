"""The dense CRF without a compiler."""
