"""What every request and every answer goes through: bodies, their validation, pages of lists, errors."""
