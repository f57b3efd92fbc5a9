"""What a former version of this product stored, and how it was made."""
