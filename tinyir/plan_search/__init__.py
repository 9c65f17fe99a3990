"""Search for a plan of sparse training: what each part is worth and needs, and the choice under a budget of RAM."""
