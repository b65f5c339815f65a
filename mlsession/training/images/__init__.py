"""Which images a session works on: recorded, compared with those of today, corrected, counted."""
