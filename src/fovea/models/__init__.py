"""Networks and adapters that no library has."""
