"""What whoever runs the product sees of it: figures, and one line of the log a request."""
