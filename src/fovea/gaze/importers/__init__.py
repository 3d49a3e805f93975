"""Reading what others have recorded or published: one file a format, all called alike (see `task`)."""
