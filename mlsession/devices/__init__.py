"""The processes that do a phase together: one for each device."""
