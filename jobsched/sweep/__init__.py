"""What a sweep does that is more than one step: building the board, and looking it over."""
