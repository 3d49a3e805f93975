"""What every command needs: errors, files, instantiation, provenance."""
