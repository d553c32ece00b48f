"""Work that runs at intervals, whatever users do."""
