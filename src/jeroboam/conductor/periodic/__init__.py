"""Work that comes again after some time, whatever users do."""
