"""One's own photographs, brought into the layout of the field."""
