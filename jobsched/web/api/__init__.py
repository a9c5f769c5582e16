"""The addresses, and what each answers: JSON, and to browsers a page with the same values."""
