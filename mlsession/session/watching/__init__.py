"""A session seen from outside while another process drives it."""
