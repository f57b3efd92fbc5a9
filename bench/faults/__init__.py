"""What breaks, and how many logins fail meanwhile: a table for the operations guide."""
